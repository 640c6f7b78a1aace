"""Int8 graphs with parts in float: consistent, static, and named as people name layers."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from contracts.errors import CheckpointError
from contracts.tasks import Task
from model_store import compress
from model_store.backends.onnxruntime import is_dynamic_int8, open_onnxruntime
from model_store.compress import quantize_static
from model_store.export import export_onnx, sample_inputs
from model_store.files import read_json
from model_store.mixed import SCOPES, MixedGraph, name_kinds, name_parts
from tests.model_store.backends.graphs import Graphs, only, tiny_graphs, worst_difference
from tests.models import ARCHITECTURES, tiny_checkpoint

OTHER_PARTS = {
    "electra": ["embeddings_project", "encoder.0", "encoder.1"],
    "albert": ["embedding_hidden_mapping_in", "group.0", "group.1"],
}
"""What is quantised where it is not just two layers; ALBERT's two are one and the same module."""

SOME_NOW = [
    one if one in ("bert", "albert") else pytest.param(one, marks=pytest.mark.e2e)
    for one in ARCHITECTURES
]
"""Named layers and shared ones; the seven others take a minute, and run with `make e2e`."""


def graphs_of(architecture: str, folder: Path, task: Task = Task.TEXT_CLASSIFICATION) -> Graphs:
    tiny_checkpoint(folder, architecture, task)
    fp32 = export_onnx(folder, task, folder / "model.onnx")
    vocabulary = int(read_json(folder / "config.json")["vocab_size"])
    texts = [sample_inputs(vocabulary, 1, tokens, seed=tokens) for tokens in range(5, 25)]
    return Graphs(folder, fp32, quantize_static(fp32, folder / "int8.onnx", texts))


def difference(one: Path, other: Path, vocabulary: int) -> float:
    inputs = sample_inputs(vocabulary, 8, 20, pad_id=1, seed=77)
    outputs = [open_onnxruntime(path).run(inputs) for path in (one, other)]
    mask = inputs["attention_mask"].astype(bool)
    for output in outputs:
        for name, array in output.items():
            if array.shape[:2] == mask.shape:  # per token: padding is nobody's answer
                output[name] = array[mask]
    return worst_difference(*outputs)


@pytest.mark.parametrize("architecture", SOME_NOW)
def test_with_all_parts_in_float_it_is_the_fp32_graph(architecture: str, tmp_path: Path) -> None:
    graphs = graphs_of(architecture, tmp_path)
    mixed = MixedGraph(graphs.fp32, graphs.int8)
    assert mixed.parts == OTHER_PARTS.get(architecture, ["encoder.0", "encoder.1"])
    path = mixed.write(mixed.parts, tmp_path / "mixed.onnx")
    assert difference(path, graphs.fp32, graphs.vocabulary) < 1e-4
    assert difference(graphs.int8, graphs.fp32, graphs.vocabulary) > 1e-3
    operators = {node.op_type for node in onnx.load(str(path)).graph.node}
    assert not operators & {"QuantizeLinear", "DequantizeLinear"}


def test_with_no_part_in_float_it_is_the_int8_graph(tmp_path: Path) -> None:
    graphs = tiny_graphs()
    path = MixedGraph(graphs.fp32, graphs.int8).write([], tmp_path / "mixed.onnx")
    assert difference(path, graphs.int8, graphs.vocabulary) == 0


def test_a_head_per_token_is_a_part_of_its_own(tmp_path: Path) -> None:
    graphs = graphs_of("bert", tmp_path, Task.TOKEN_CLASSIFICATION)
    mixed = MixedGraph(graphs.fp32, graphs.int8)
    assert mixed.parts == ["encoder.0", "encoder.1", "classifier"]
    path = mixed.write(mixed.parts, tmp_path / "mixed.onnx")
    assert difference(path, graphs.fp32, graphs.vocabulary) < 1e-4


def test_a_layer_in_float_leaves_the_other_as_it_was(tmp_path: Path) -> None:
    graphs = tiny_graphs()
    path = MixedGraph(graphs.fp32, graphs.int8).write(["encoder.0"], tmp_path / "mixed.onnx")
    fp32, int8, mixed = (onnx.load(str(one)).graph for one in (graphs.fp32, graphs.int8, path))
    part = name_parts(fp32.node)
    before = {node.name: list(node.input) for node in fp32.node}
    quantized = {node.name: list(node.input) for node in int8.node}
    for node in mixed.node:
        expected = before if part.get(node.name) == "encoder.0" else quantized
        assert list(node.input) == expected[node.name]
    read = {name for node in mixed.node for name in node.input}
    assert {each.name for each in mixed.initializer} <= read  # nothing lies about unused
    assert path.stat().st_size < graphs.fp32.stat().st_size
    assert not is_dynamic_int8(path)


@pytest.mark.parametrize("part", ["encoder.0", "encoder.1"])
def test_answers_stay_the_same_to_the_bit_in_company(part: str, tmp_path: Path) -> None:
    graphs = tiny_graphs()
    path = MixedGraph(graphs.fp32, graphs.int8).write([part], tmp_path / "mixed.onnx")
    backend = open_onnxruntime(path, precision="int8")
    inputs = sample_inputs(graphs.vocabulary, 64, 16, seed=3)
    together = backend.run(inputs)["logits"]
    alone = [backend.run(only(inputs, row))["logits"][0] for row in range(64)]
    assert np.array_equal(together, np.stack(alone))


def test_a_min_max_graph_can_be_mixed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(compress, "_by_nncf", broken)
    graphs = graphs_of("bert", tmp_path)
    mixed = MixedGraph(graphs.fp32, graphs.int8)
    assert mixed.parts == ["encoder.0", "encoder.1"]
    path = mixed.write(mixed.parts, tmp_path / "mixed.onnx")
    assert difference(path, graphs.fp32, graphs.vocabulary) < 1e-4


@pytest.mark.parametrize("attention", [True, False])
def test_without_notes_the_products_are_split_in_order(attention: bool, tmp_path: Path) -> None:
    graphs = tiny_graphs()
    model = onnx.load(str(graphs.fp32))
    for node in model.graph.node:
        del node.metadata_props[:]
    bare = tmp_path / "bare.onnx"
    onnx.save(model, str(bare))
    nodes = [node for node in model.graph.node if attention or node.op_type != "Attention"]
    parts = name_parts(nodes)
    groups = [parts[node.name] for node in nodes if node.op_type == "MatMul"]
    count = 2 if attention else 6
    assert groups == [f"group.{index * count // 12}" for index in range(12)]
    assert name_kinds(nodes) == parts
    mixed = MixedGraph(bare, graphs.int8)
    assert mixed.parts == ["group.0", "group.1"]
    path = mixed.write(mixed.parts, tmp_path / "mixed.onnx")
    assert difference(path, graphs.fp32, graphs.vocabulary) < 1e-4


def test_the_exporter_still_notes_the_modules() -> None:
    nodes = onnx.load(str(tiny_graphs().fp32)).graph.node
    noted = [node for node in nodes if any(each.key == SCOPES for each in node.metadata_props)]
    assert len(noted) > len(nodes) / 2


def test_a_kind_is_the_same_module_of_every_layer(tmp_path: Path) -> None:
    graphs = tiny_graphs()
    mixed = MixedGraph(graphs.fp32, graphs.int8, naming=name_kinds)
    assert mixed.parts == [
        "*.attention.self.query",
        "*.attention.self.key",
        "*.attention.self.value",
        "*.attention.output.dense",
        "*.intermediate.dense",
        "*.output.dense",
    ]
    path = mixed.write(["*.output.dense"], tmp_path / "mixed.onnx")
    fp32, int8, found = (onnx.load(str(one)).graph for one in (graphs.fp32, graphs.int8, path))
    kinds = name_kinds(fp32.node)
    before = {node.name: list(node.input) for node in fp32.node}
    quantized = {node.name: list(node.input) for node in int8.node}
    back = [node.name for node in found.node if kinds.get(node.name) == "*.output.dense"]
    assert sum(before[name] != quantized[name] for name in back) == 2  # one in each layer
    for node in found.node:
        assert list(node.input) == (before if node.name in back else quantized)[node.name]
    path = mixed.write(mixed.parts, tmp_path / "all.onnx")
    assert difference(path, graphs.fp32, graphs.vocabulary) < 1e-4


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"not a graph")
    with pytest.raises(CheckpointError, match="cannot be read as ONNX"):
        MixedGraph(tiny_graphs().fp32, tmp_path / "broken.onnx")
