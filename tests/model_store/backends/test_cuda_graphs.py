"""Graphs are kept by shape, hold one batch at a time, and never show in an answer."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model_store.backends.cuda_graphs import MOST_GRAPHS, MOST_TOKENS, GraphedModel, Recorded


def model(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Something of which each row depends on that row alone."""
    kept = input_ids * attention_mask
    return kept.sum(dim=1).float(), kept.float()


class Recorder:
    """Records as CUDA does: a replay reads the same places, and writes over the same outputs."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, model: Any, inputs: dict[str, torch.Tensor]) -> Recorded:
        self.shapes.append(tuple(inputs["input_ids"].shape))
        outputs = model(**inputs)

        def replay() -> None:
            for place, new in zip(outputs, model(**inputs), strict=True):
                place.copy_(new)

        return Recorded(inputs, replay, outputs)


def batch(rows: int, tokens: int, seed: int = 0) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 1000, (rows, tokens), generator=draw)
    return {"input_ids": ids, "attention_mask": (ids % 3 > 0).long()}


@given(st.lists(st.tuples(st.integers(1, 40), st.sampled_from([8, 16, 64])), max_size=30))
def test_whatever_comes_gets_the_answers_of_the_model(shapes: list[tuple[int, int]]) -> None:
    recorder = Recorder()
    graphed = GraphedModel(model, recorder)
    asked = [batch(*shape, seed=index) for index, shape in enumerate(shapes)]
    answers = [graphed(**inputs) for inputs in asked]  # compared later: they must not be shared
    for inputs, found in zip(asked, answers, strict=True):
        for one, other in zip(found, model(**inputs), strict=True):
            assert torch.equal(one, other)
    assert len(set(recorder.shapes)) == len(recorder.shapes)
    for rows, tokens in recorder.shapes:
        assert rows & (rows - 1) == 0
        assert rows * tokens <= MOST_TOKENS


def test_long_batches_run_as_they_are() -> None:
    recorder = Recorder()
    GraphedModel(model, recorder)(**batch(1, MOST_TOKENS + 1))
    assert recorder.shapes == []


def test_there_are_only_so_many_graphs() -> None:
    recorder = Recorder()
    graphed = GraphedModel(model, recorder)
    for tokens in range(1, MOST_GRAPHS + 10):
        inputs = batch(1, tokens)
        assert torch.equal(graphed(**inputs)[0], model(**inputs)[0])
    assert len(recorder.shapes) == MOST_GRAPHS


def test_a_model_that_cannot_be_recorded_runs_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    tried = []

    def refuse(model: Any, inputs: dict[str, torch.Tensor]) -> Recorded:
        tried.append(inputs)
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    graphed = GraphedModel(model, refuse)
    for tokens in (4, 8):
        inputs = batch(3, tokens)
        assert torch.equal(graphed(**inputs)[0], model(**inputs)[0])
    assert len(tried) == 1
    assert "no CUDA graphs: operation not permitted when stream is capturing" in caplog.text
