"""Static int8: smaller, close to fp32, and blind to neighbours."""

import logging
from pathlib import Path

import numpy as np
import onnx
import pytest

from contracts.errors import CheckpointError
from contracts.tensors import Tensors
from model_store import compress
from model_store.backends.onnxruntime import is_dynamic_int8, open_onnxruntime
from model_store.compress import quantize_static
from model_store.export import sample_inputs
from tests.model_store.backends.graphs import padded, tiny_graphs


def _operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(str(path)).graph.node]


def test_the_file_is_static_with_unsigned_activations() -> None:
    graph = onnx.load(str(tiny_graphs().int8)).graph
    kinds = {each.name: each.data_type for each in graph.initializer}
    quantisers = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    assert len(quantisers) >= 8
    assert {kinds[node.input[2]] for node in quantisers} == {onnx.TensorProto.UINT8}
    assert not is_dynamic_int8(tiny_graphs().int8)


def test_activations_are_smoothed_first() -> None:
    graph = onnx.load(str(tiny_graphs().int8)).graph
    smoothing = [node for node in graph.node if "nncf_smooth_quant" in node.output[0]]
    assert len(smoothing) >= 4


def test_embeddings_and_pooled_heads_stay_in_float() -> None:
    graph = onnx.load(str(tiny_graphs().int8)).graph
    floats = {each.name for each in graph.initializer if each.data_type == onnx.TensorProto.FLOAT}
    for kind in ("Gather", "Gemm"):
        nodes = [node for node in graph.node if node.op_type == kind]
        weights = [name for node in nodes for name in node.input if "weight" in name]
        assert weights
        assert set(weights) <= floats


def test_attention_reads_queries_keys_and_values_that_were_not_rounded() -> None:
    graph = onnx.load(str(tiny_graphs().int8)).graph
    made = {output: node for node in graph.node for output in node.output}
    attentions = [node for node in graph.node if node.op_type == "Attention"]
    assert attentions
    for node in attentions:
        for name in node.input[:3]:
            source = made[name]
            while source.op_type in ("Reshape", "Transpose"):
                source = made[source.input[0]]
            assert source.op_type == "Add"  # of the bias


def test_padding_of_the_calibration_has_no_part(tmp_path: Path) -> None:
    graphs = tiny_graphs()
    texts = [sample_inputs(graphs.vocabulary, 1, tokens, seed=tokens) for tokens in range(5, 9)]
    plain = quantize_static(graphs.fp32, tmp_path / "plain.onnx", texts)
    longer = [padded(text, 40) for text in texts]
    loose = quantize_static(graphs.fp32, tmp_path / "padded.onnx", longer)
    assert plain.read_bytes() == loose.read_bytes()


def test_where_nncf_fails_min_max_calibration_takes_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(compress, "_by_nncf", broken)
    graphs = tiny_graphs()
    texts: list[Tensors] = [sample_inputs(graphs.vocabulary, 8, 16)]
    with caplog.at_level(logging.WARNING):
        path = quantize_static(graphs.fp32, tmp_path / "model.onnx", texts)
    assert "no such operator" in caplog.text
    assert "QuantizeLinear" in _operators(path)
    inputs = sample_inputs(graphs.vocabulary, 8, 16, seed=5)
    fp32, int8 = open_onnxruntime(graphs.fp32), open_onnxruntime(path, precision="int8")
    difference = np.abs(fp32.run(inputs)["logits"] - int8.run(inputs)["logits"]).max()
    assert 0 < difference < 2


def test_calibration_needs_texts(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="without a single text"):
        quantize_static(tiny_graphs().fp32, tmp_path / "model.onnx", [])
    assert list(tmp_path.iterdir()) == []
