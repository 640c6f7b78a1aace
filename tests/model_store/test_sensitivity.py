"""The part that int8 ruins is found by measuring, and is enough to keep in float."""

from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import CheckpointError
from contracts.tasks import Task
from model_store.compress import quantize_static
from model_store.export import export_onnx, sample_inputs
from model_store.mixed import MixedGraph
from model_store.sensitivity import attempts, noise_by_part, put_back
from tests.model_store.backends.graphs import tiny_graphs
from tests.model_store.test_mixed import difference
from tests.models import tiny_checkpoint
from tests.train.damage import hostile_to_int8


@pytest.mark.parametrize("layer", [0, 1])
def test_a_hostile_layer_is_the_noisiest_and_in_float_does_no_harm(
    layer: int, tmp_path: Path
) -> None:
    folder = tiny_checkpoint(tmp_path, "bert", Task.TEXT_CLASSIFICATION)
    hostile_to_int8(folder, layer)
    vocabulary = tiny_graphs().vocabulary
    rows = [sample_inputs(vocabulary, 1, tokens, seed=tokens) for tokens in range(5, 25)]
    fp32 = export_onnx(folder, Task.TEXT_CLASSIFICATION, folder / "model.onnx")
    int8 = quantize_static(fp32, folder / "int8.onnx", rows)
    graph = MixedGraph(fp32, int8)
    noise = noise_by_part(graph, rows)
    hostile, other = f"encoder.{layer}", f"encoder.{1 - layer}"
    assert list(noise) == [hostile, other]
    assert noise[hostile] > 0.1 > 0.01 > noise[other] > 0
    harm = {
        part: difference(graph.write([part], folder / "mixed.onnx"), fp32, vocabulary)
        for part in (hostile, other)
    }
    assert harm[hostile] < 1 < harm[other]


def test_noise_needs_texts() -> None:
    graphs = tiny_graphs()
    with pytest.raises(CheckpointError, match="without a single text"):
        noise_by_part(MixedGraph(graphs.fp32, graphs.int8), [])


@given(st.lists(st.text(), unique=True))
def test_attempts_are_few_and_leave_half_in_int8(parts: list[str]) -> None:
    tried = attempts(parts)
    assert len(tried) <= 3
    assert bool(tried) is (len(parts) > 1)
    sizes = [len(floats) for floats in tried]
    assert sizes == sorted(set(sizes))
    for floats in tried:
        assert floats == parts[: len(floats)]
        assert 1 <= len(floats) <= len(parts) / 2


@pytest.mark.parametrize(
    ("parts", "counts"), [(2, [1]), (4, [1, 2]), (7, [1, 2, 3]), (13, [1, 3, 6]), (24, [1, 6, 12])]
)
def test_attempts_are_one_a_quarter_and_half(parts: int, counts: list[int]) -> None:
    assert [len(floats) for floats in attempts([str(each) for each in range(parts)])] == counts


@given(st.lists(st.integers(0, 100), min_size=1, max_size=8), st.integers(0, 300))
def test_what_helps_most_goes_back_first_until_it_is_enough(worth: list[int], enough: int) -> None:
    graph = Written([f"part.{index}" for index in range(len(worth))])

    def score() -> float:
        return sum(worth[int(part.removeprefix("part."))] for part in graph.floats)

    floats = put_back(cast(MixedGraph, graph), Path("int8.onnx"), score, enough)
    assert graph.floats == floats
    assert len(set(floats)) == len(floats) <= len(worth) // 2
    gains = [worth[int(part.removeprefix("part."))] for part in floats]
    assert gains == sorted(worth, reverse=True)[: len(floats)]
    assert score() >= enough or len(floats) == len(worth) // 2
    assert sum(gains[:-1]) < enough or len(floats) <= 1


class Written:
    """A graph that only remembers what was written last."""

    def __init__(self, parts: list[str]) -> None:
        self.parts = parts
        self.floats: list[str] = []

    def write(self, floats: list[str], destination: Path) -> Path:
        self.floats = list(floats)
        return destination
