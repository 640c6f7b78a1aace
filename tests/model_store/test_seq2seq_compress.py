"""int8 graphs answer nearly as fp32's, and a row never feels its neighbours."""

from functools import cache
from pathlib import Path
from shutil import copytree
from tempfile import mkdtemp

import numpy as np
import onnx
import pytest

from contracts.errors import CheckpointError
from contracts.tensors import Array, Tensors
from model_store.backends.base import BackendChoice
from model_store.backends.load import load_generating_backend
from model_store.backends.onnxruntime import open_onnxruntime
from model_store.backends.seq2seq.graph import GraphSeq2Seq
from model_store.backends.seq2seq.onnxruntime import open_onnxruntime_decoder
from model_store.hashing import verify_hashes
from model_store.seq2seq_compress import compress_seq2seq, quantize_weights
from tests.model_store.backends.seq2seq.exports import QUICK, exported
from tests.seq2seq_models import publish_with_int8

IDS = np.random.default_rng(3).integers(3, 300, 30)


def source(tokens: int, seed: int) -> Tensors:
    ids = np.random.default_rng(seed).integers(3, 300, (1, tokens))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


@cache
def compressed(architecture: str) -> Path:
    folder = Path(mkdtemp()) / "onnx"
    copytree(exported(architecture) / "onnx", folder)
    return compress_seq2seq(folder, [source(8 + seed, seed) for seed in range(20)])


@cache
def opened(architecture: str, precision: str) -> GraphSeq2Seq:
    folder, suffix = compressed(architecture), "_int8" if precision == "int8" else ""
    return GraphSeq2Seq(
        open_onnxruntime(folder / f"encoder{suffix}.onnx", precision=precision),
        open_onnxruntime_decoder(folder / f"decoder{suffix}.onnx", precision=precision),
    )


def logits(backend: GraphSeq2Seq, texts: list[Tensors]) -> Array:
    """``(texts, steps, vocabulary)`` of the same ids in every row."""
    rows = backend.rows()
    for text in texts:
        rows.add(backend.encode(text), 0)
    return np.stack([rows.step(np.full(len(texts), id)).copy() for id in IDS], axis=1)


@pytest.mark.parametrize("architecture", QUICK)
def test_int8_gives_a_row_the_same_bits_alone_and_among_others(architecture: str) -> None:
    backend = opened(architecture, "int8")
    texts = [source(5 + 3 * number, number) for number in range(9)]
    together = logits(backend, texts)
    for number in (0, 4, 8):
        np.testing.assert_array_equal(together[number], logits(backend, [texts[number]])[0])


@pytest.mark.parametrize("architecture", QUICK)
def test_int8_is_near_fp32(architecture: str) -> None:
    texts = [source(12, 50)]
    found, expected = (logits(opened(architecture, each), texts)[0] for each in ("int8", "fp32"))
    assert 0 < np.abs(found - expected).mean() < 0.1 * expected.std()


def test_the_decoders_weights_are_8_bit_and_its_activations_are_not_calibrated() -> None:
    kinds = [
        node.op_type for node in onnx.load(str(compressed("bart") / "decoder_int8.onnx")).graph.node
    ]
    assert kinds.count("MatMulNBits") >= 2 * 8 + 1  # six of attention and two behind, and the head
    assert not {"QuantizeLinear", "DynamicQuantizeLinear"} & set(kinds)
    assert sorted(path.name for path in compressed("bart").iterdir()) == [
        "decoder.onnx",
        "decoder_int8.onnx",
        "encoder.onnx",
        "encoder_int8.onnx",
    ]


def test_a_decoder_that_quantises_while_it_runs_is_refused(tmp_path: Path) -> None:
    from onnxruntime.quantization import quantize_dynamic

    dynamic = tmp_path / "decoder_int8.onnx"
    model = onnx.load(str(exported("bart") / "onnx" / "decoder.onnx"))
    del model.graph.value_info[:]
    quantize_dynamic(model, dynamic, op_types_to_quantize=["MatMul"])
    with pytest.raises(CheckpointError, match="depend on their neighbours"):
        open_onnxruntime_decoder(dynamic, precision="int8")


def test_a_graph_without_weights_is_refused(tmp_path: Path) -> None:
    value = onnx.helper.make_tensor_value_info("x", 1, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [value], [])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "decoder.onnx")
    with pytest.raises(CheckpointError, match="no weights"):
        quantize_weights(tmp_path / "decoder.onnx", tmp_path / "decoder_int8.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["decoder.onnx"]


def test_an_encoder_is_no_decoder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no decoder step"):
        open_onnxruntime_decoder(exported("bart") / "onnx" / "encoder.onnx")


@pytest.mark.e2e
def test_a_published_version_serves_its_int8_graphs(tmp_path: Path) -> None:
    version = publish_with_int8(exported("bart"), tmp_path, "bart")
    verify_hashes(version)
    int8 = version.artifact("onnx", "int8")
    assert int8 is not None
    assert not int8.verified
    sizes = [(version.folder / path).stat().st_size for path in (int8.path, int8.encoder or "")]
    assert int8.bytes == sum(sizes)
    choice = BackendChoice(backend="onnxruntime", precision="int8", device="cpu", threads=1)
    backend = load_generating_backend(version, choice)
    assert backend.bytes == int8.bytes
    backend.close()
