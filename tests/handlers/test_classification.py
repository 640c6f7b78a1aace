"""Classification: parity with transformers 4.57, functions, pairs, long texts."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InputTooLong, InvalidRequest
from contracts.tasks import Task
from handlers.base import Prepared
from handlers.classification import (
    ClassificationHandler,
    apply_function,
    default_function,
    even_windows,
    longest_first,
)
from handlers.pipeline import Pipeline
from tests.handlers.lookup import classify, lookup_pipeline
from tests.models import LABELS
from tests.parity.reference import recorded, reference_pipeline
from tests.parity.tasks.classification import MODELS

NAMES = list(LABELS[Task.TEXT_CLASSIFICATION])
LOGITS = st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=20)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    folder: Path = tmp_path_factory.mktemp("bert")
    return lookup_pipeline(folder, "bert", Task.TEXT_CLASSIFICATION, NAMES)


@pytest.mark.parametrize("name", MODELS)
def test_answers_equal_those_of_transformers(name: str) -> None:
    cases = [case for case in recorded("classification") if case["model"] == name]
    assert len(cases) > 60
    items = [
        classify(
            case["text"],
            case["text_pair"],
            function_to_apply=case["function_to_apply"],
            top_k=case["top_k"],
            long="truncate",
        )
        for case in cases
    ]
    for case, answer in zip(cases, reference_pipeline(name)(items), strict=True):
        expected = case["answer"]
        assert [one["label"] for one in answer] == [label for label, _ in expected], case
        assert [one["score"] for one in answer] == pytest.approx(
            [score for _, score in expected], abs=1e-5
        ), case


@pytest.mark.parametrize(
    ("problem_type", "labels", "function"),
    [
        (None, 4, "softmax"),
        ("single_label_classification", 4, "softmax"),
        ("multi_label_classification", 4, "sigmoid"),
        (None, 1, "sigmoid"),
        ("single_label_classification", 1, "sigmoid"),
        ("regression", 1, "none"),
        ("regression", 3, "none"),
    ],
)
def test_function_follows_the_problem_type(
    problem_type: str | None, labels: int, function: str
) -> None:
    assert default_function(problem_type, labels) == function


@given(LOGITS)
def test_softmax_sums_to_one_and_keeps_the_order(logits: list[float]) -> None:
    array = np.array(logits)
    scores = apply_function("softmax", array)
    assert scores.sum() == pytest.approx(1.0, abs=1e-12)
    assert (np.diff(scores[np.argsort(array, kind="stable")]) >= 0).all()


@given(LOGITS)
def test_sigmoid_is_a_probability_for_every_finite_logit(logits: list[float]) -> None:
    array = np.array(logits)
    scores = apply_function("sigmoid", array)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert scores + apply_function("sigmoid", -array) == pytest.approx(1.0, abs=1e-12)


def test_none_returns_the_logits() -> None:
    logits = np.array([-3.0, 2.5])
    assert (apply_function("none", logits) == logits).all()


@given(st.lists(st.sampled_from(["refund", "please", "Paris", "😀"]), min_size=1, max_size=8))
def test_top_k_is_the_head_of_all_labels_best_first(pipeline: Pipeline, words: list[str]) -> None:
    text = " ".join(words)
    answers = pipeline(
        [classify(text, top_k=None), *(classify(text, top_k=k) for k in range(1, 7))]
    )
    everything = answers[0]
    scores = [one["score"] for one in everything]
    assert scores == sorted(scores, reverse=True)
    assert {one["label"] for one in everything} == set(NAMES)
    assert all(type(score) is float for score in scores)
    for k, answer in enumerate(answers[1:], start=1):
        assert answer == everything[:k]


def test_items_with_different_parameters_do_not_touch_each_other(pipeline: Pipeline) -> None:
    long = "the parcel waits " * 60
    items = [
        classify("refund please"),
        classify("refund please", function_to_apply="sigmoid", top_k=1),
        classify(long),
        classify(long, long="window", function_to_apply="none"),
        classify(long, long="truncate", top_k=2),
        classify("when?", long, long="window"),
        classify(long, "when?", long="truncate"),
        classify("when?", "now", function_to_apply="none", top_k=3),
    ]
    together = pipeline(items)
    alone = [pipeline([item])[0] for item in items]
    assert list(map(repr, together)) == list(map(repr, alone))
    assert isinstance(together[2], InputTooLong)


def test_too_long_counts_special_tokens(pipeline: Pipeline) -> None:
    handler = pipeline.handler
    fits, over = handler.preprocess([classify("a " * 126), classify("a " * 127)])
    assert isinstance(fits, Prepared)
    assert len(fits.rows[0]) == 128
    assert isinstance(over, InputTooLong)
    assert (over.tokens, over.limit) == (129, 128)


def test_too_long_pair_counts_both_texts(pipeline: Pipeline) -> None:
    handler = pipeline.handler
    fits, over = handler.preprocess(
        [classify("a " * 60, "b " * 65), classify("a " * 60, "b " * 66)]
    )
    assert isinstance(fits, Prepared)
    assert len(fits.rows[0]) == 128
    assert isinstance(over, InputTooLong)
    assert (over.tokens, over.limit) == (129, 128)


def test_truncation_is_said(pipeline: Pipeline) -> None:
    cut, whole = pipeline.handler.preprocess(
        [classify("a " * 500, long="truncate"), classify("a", long="truncate")]
    )
    assert cut.truncated
    assert len(cut.rows[0]) == 128
    assert not whole.truncated


def test_windows_show_every_token_and_average_their_logits(pipeline: Pipeline) -> None:
    text = " ".join(["refund"] * 90 + ["Paris"] * 200)
    item = classify(text, long="window", function_to_apply="none", top_k=None)
    handler = pipeline.handler
    [prepared] = handler.preprocess([item])
    assert isinstance(prepared, Prepared)
    assert not prepared.truncated
    assert {len(row) for row in prepared.rows} == {128}
    [ids] = [encoding.ids for encoding in handler.tokenizer.encode([text])]
    covered = [row.input_ids[1:-1] for row in prepared.rows]
    assert covered[0] == ids[:126]
    assert covered[-1] == ids[-126:]
    outputs = [output["logits"] for output in pipeline.run(prepared.rows, 128)]
    expected = dict(zip(NAMES, np.mean(outputs, axis=0), strict=True))
    [answer] = pipeline([item])
    assert len(outputs) > 2
    for one in answer:
        assert one["score"] == pytest.approx(expected[one["label"]], abs=1e-5)


@pytest.mark.parametrize("longer_first", [True, False])
def test_pair_windows_keep_the_shorter_text_whole(pipeline: Pipeline, longer_first: bool) -> None:
    short, long = "refund please", "Paris " * 300
    texts = (long, short) if longer_first else (short, long)
    [prepared] = pipeline.handler.preprocess([classify(*texts, long="window")])
    assert isinstance(prepared, Prepared)
    tokenizer = pipeline.handler.tokenizer
    short_ids, long_ids = (encoding.ids for encoding in tokenizer.encode([short, long]))
    cls, sep = tokenizer.pair_prefix[0], tokenizer.pair_suffix[0]
    seen = 0
    for row in prepared.rows:
        assert len(row) == 128
        ids = row.input_ids
        parts = " ".join(map(str, ids[1:-1])).split(f" {sep} ")
        first, second = ([int(token) for token in part.split()] for part in parts)
        window, kept = (first, second) if longer_first else (second, first)
        assert ids[0] == cls
        assert kept == short_ids
        assert set(window) <= set(long_ids)
        seen += len(window)
    assert seen >= len(long_ids)


def test_a_pair_of_two_long_texts_is_refused_with_a_way_out(pipeline: Pipeline) -> None:
    [answer] = pipeline([classify("a " * 300, "b " * 300, long="window")])
    assert isinstance(answer, InvalidRequest)
    assert "truncate" in str(answer)
    assert "300 tokens" in str(answer)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(2, 50))
def test_pairs_are_cut_as_the_tokenizers_library_cuts_them(
    pipeline: Pipeline, first: int, second: int, room: int
) -> None:
    raw = pipeline.handler.tokenizer.raw
    raw.enable_truncation(room + 3, strategy="longest_first")
    encoding = raw.encode("a " * first, "b " * second)
    raw.no_truncation()
    kept = (first, second) if first + second <= room else longest_first(first, second, room)
    assert kept == (encoding.sequence_ids.count(0), encoding.sequence_ids.count(1))


@given(st.integers(1, 600), st.integers(1, 4000))
def test_even_windows_cover_the_text_in_full_windows(room: int, more: int) -> None:
    tokens = room + more
    found = even_windows(tokens, room)
    assert found[0].start == 0
    assert found[-1].end == tokens
    for window in found:
        assert window.end - window.start == room
    for left, right in pairwise(found):
        assert left.start < right.start
        assert left.end - right.start >= room // 8
    # One window fewer would leave gaps or less overlap.
    assert (len(found) - 2) * (room - room // 8) + room < tokens


def test_a_text_without_tokens_is_classified(pipeline: Pipeline) -> None:
    [answer] = pipeline([classify("\u200b", top_k=1)])
    assert len(answer) == 1


def test_the_handler_says_that_its_outputs_have_no_token_axis() -> None:
    assert ClassificationHandler.per_token is False


def test_a_temperature_divides_logits_before_they_become_scores(pipeline: Pipeline) -> None:
    handler = pipeline.handler
    manifest = handler.manifest.model_copy(update={"temperature": 2.0})
    warm = Pipeline(ClassificationHandler(manifest, handler.tokenizer), pipeline.backend)
    for function in ("softmax", "sigmoid", "none"):
        item = classify("my parcel", top_k=None, function_to_apply=function)
        asked = classify("my parcel", top_k=None, function_to_apply="none")
        (logits,), (answer,) = pipeline([asked]), warm([item])
        assert [one["label"] for one in answer] == [one["label"] for one in logits]
        values = np.array([one["score"] for one in logits])
        expected = values if function == "none" else apply_function(function, values / 2)
        assert [one["score"] for one in answer] == pytest.approx(expected.tolist())
