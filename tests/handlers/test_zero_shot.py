"""Zero-shot classification: transformers' numbers, windows, and no format strings."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.errors import InputTooLong, InvalidRequest
from contracts.schemas import ClassificationItem, ClassificationParameters
from contracts.tasks import Task
from contracts.zero_shot import ZeroShotItem, ZeroShotParameters
from handlers.base import Prepared
from handlers.load import load_pipeline
from handlers.pipeline import Pipeline
from model_store.backends.base import BackendChoice
from model_store.sources import open_source
from tests.models import CORPUS, tiny_checkpoint

TORCH = BackendChoice(backend="torch", precision="fp32", device="cpu", threads=1)
LABELS = ["delivery", "payment", "praise", "politics"]
TEXTS = [line for line in CORPUS.splitlines() if line][:5]
LONG = " ".join(TEXTS)
ORDERS = {
    "last": ("CONTRADICTION", "neutral", "Entailment"),
    "first": ("entailment", "neutral", "contradiction"),
    "two": ("not_entailment", "entailment"),
}


@pytest.fixture(scope="module", params=ORDERS)
def checkpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Pipeline]]:
    folder = tmp_path_factory.mktemp("nli")
    tiny_checkpoint(folder, "bert", Task.TEXT_CLASSIFICATION, ORDERS[request.param])
    pipeline = load_pipeline(open_source("nli", str(folder), cache_root=folder), TORCH)
    assert isinstance(pipeline, Pipeline)
    yield folder, pipeline
    pipeline.close()


@pytest.fixture(scope="module")
def pipeline(checkpoint: tuple[Path, Pipeline]) -> Pipeline:
    return checkpoint[1]


def asked(text: str, labels: list[str] = LABELS, **parameters: Any) -> ZeroShotItem:
    given = ZeroShotParameters(candidate_labels=labels, **parameters)
    return ZeroShotItem(text, tuple(labels), given)


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("labels", [LABELS, LABELS[:1]], ids=["many", "one"])
@pytest.mark.parametrize("template", ["This example is {}.", "{}! {}"])
def test_scores_are_those_of_transformers(
    checkpoint: tuple[Path, Pipeline], multi_label: bool, labels: list[str], template: str
):
    from transformers import pipeline as reference

    folder, pipeline = checkpoint
    theirs = reference("zero-shot-classification", model=str(folder), device="cpu")
    options: dict[str, Any] = {"multi_label": multi_label}
    if template.count("{}") == 1:  # transformers' format takes one label only
        options["hypothesis_template"] = template
    answers = pipeline([asked(text, labels, **options) for text in TEXTS])
    for text, answer in zip(TEXTS, answers, strict=True):
        expected = theirs(text, candidate_labels=labels, **options)
        assert [one["label"] for one in answer] == expected["labels"]
        assert [one["score"] for one in answer] == pytest.approx(expected["scores"], abs=1e-5)


def test_a_template_is_text_and_never_a_format(pipeline: Pipeline):
    template = "{0.__class__} {:>9999999} {}"
    [item] = [asked("text", ["label"], hypothesis_template=template)]
    from handlers.zero_shot import hypotheses

    assert hypotheses(item) == ["{0.__class__} {:>9999999} label"]


def test_a_long_text_is_refused_cut_or_read_in_windows(pipeline: Pipeline):
    refused, cut, windowed = (
        pipeline.handler.preprocess([asked(LONG, long=long)])[0]
        for long in ("error", "truncate", "window")
    )
    assert isinstance(refused, InputTooLong)
    assert isinstance(cut, Prepared)
    assert (cut.truncated, cut.windows, len(cut.rows)) == (True, 1, len(LABELS))
    assert isinstance(windowed, Prepared)
    assert windowed.windows is not None
    assert windowed.windows > 1
    assert len(windowed.rows) == len(LABELS) * windowed.windows
    assert all(len(row) <= pipeline.handler.manifest.max_tokens for row in windowed.rows)


def test_windows_are_averaged(pipeline: Pipeline):
    item = asked(LONG, long="window", multi_label=True)
    [prepared] = pipeline.handler.preprocess([item])
    assert isinstance(prepared, Prepared)
    outputs = [pipeline.run([row], pipeline.padded_length(row))[0] for row in prepared.rows]
    logits = np.array([output["logits"] for output in outputs])
    mean = logits.reshape(len(LABELS), -1, logits.shape[1]).mean(axis=1)
    handler: Any = pipeline.handler.handlers[ZeroShotItem]  # type: ignore[attr-defined]
    both = mean[:, [handler.contradiction, handler.entailment]]
    expected = np.exp(both[:, 1]) / np.exp(both).sum(axis=1)
    [answer] = pipeline([item])
    scores = {one["label"]: one["score"] for one in answer}
    assert [scores[label] for label in LABELS] == pytest.approx(expected, abs=1e-5)


def test_a_label_that_leaves_no_room_for_the_text_is_refused(pipeline: Pipeline):
    [answer] = pipeline([asked(LONG, [LONG, "b"], long="window")])
    assert isinstance(answer, InvalidRequest)
    assert "candidate_labels" in str(answer)


def test_the_classifiers_own_task_is_answered_beside_it(pipeline: Pipeline):
    labels = pipeline.handler.manifest.labels
    items: list[Any] = [
        asked(TEXTS[0]),
        ClassificationItem(TEXTS[0], TEXTS[1], ClassificationParameters(top_k=None)),
        asked(TEXTS[1]),
    ]
    together = pipeline(items)
    assert {one["label"] for one in together[1]} == set(labels)
    for item, answer in zip(items, together, strict=True):
        [alone] = pipeline([item])
        assert [one["label"] for one in alone] == [one["label"] for one in answer]
        for one, other in zip(alone, answer, strict=True):
            assert one["score"] == pytest.approx(other["score"], abs=1e-5)
