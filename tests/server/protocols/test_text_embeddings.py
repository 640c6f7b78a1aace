"""text-embeddings-inference's shapes: what a list means, and what long texts and scores are."""

from typing import Any

import pytest
from pydantic import ValidationError

from server.protocols.text_embeddings import CompareBody, EmbedBody, PredictBody, RerankBody


def labels(*scores: float) -> list[Any]:
    return [{"label": f"l{i}", "score": score} for i, score in enumerate(scores)]


@pytest.mark.parametrize(
    ("inputs", "texts", "is_batch"),
    [
        ("a", [("a", None)], False),
        (["a"], [("a", None)], False),
        (["a", "b"], [("a", "b")], False),
        ([["a"], ["b"]], [("a", None), ("b", None)], True),
        ([["a"]], [("a", None)], True),
        ([["a", "b"], ["c"]], [("a", "b"), ("c", None)], True),
    ],
)
def test_a_list_is_a_pair_and_a_list_of_lists_a_batch(inputs: Any, texts: Any, is_batch: bool):
    body = PredictBody.model_validate({"inputs": inputs})
    assert [(item.text, item.text_pair) for item in body.items()] == texts
    answers = [labels(0.5)] * len(texts)
    assert body.shape(answers) == (answers if is_batch else answers[0])


@pytest.mark.parametrize("inputs", [[], [[]], ["a", "b", "c"], [["a", "b", "c"]], [["a"], "b"], ""])
def test_other_lists_are_refused(inputs: Any):
    with pytest.raises(ValidationError):
        PredictBody.model_validate({"inputs": inputs})


def test_scores_are_all_labels_and_raw_where_asked():
    [item] = PredictBody(inputs="a", raw_scores=True).items()
    assert (item.parameters.top_k, item.parameters.function_to_apply) == (None, "none")
    [item] = PredictBody(inputs="a").items()
    assert item.parameters.function_to_apply is None


@pytest.mark.parametrize(
    ("truncate", "classifier", "embedder"),
    [(None, "error", "window"), (False, "error", "error"), (True, "truncate", "truncate")],
)
def test_truncate_says_what_happens_to_a_long_text(
    truncate: bool | None, classifier: str, embedder: str
):
    assert PredictBody(inputs="a", truncate=truncate).items()[0].parameters.long == classifier
    assert EmbedBody(inputs="a", truncate=truncate).items()[0].parameters.long == embedder
    compare = {"source_sentence": "a", "sentences": ["b"]}
    body = CompareBody.model_validate({"inputs": compare, "parameters": {"truncate": truncate}})
    assert body.items()[0].parameters.long == embedder


def test_the_direction_may_be_capitalised_and_classifiers_cut_at_the_end_only():
    body = EmbedBody.model_validate({"inputs": "a", "truncation_direction": "Left"})
    assert body.items()[0].parameters.truncation_direction == "left"
    assert PredictBody.model_validate({"inputs": "a", "truncation_direction": "Right"})
    with pytest.raises(ValidationError):
        PredictBody.model_validate({"inputs": "a", "truncation_direction": "left"})


def test_ranks_are_sorted_and_keep_their_place_and_text():
    body = RerankBody(query="q", texts=["a", "b", "c"], return_text=True)
    assert [(item.text, item.text_pair) for item in body.items()] == [
        ("q", "a"),
        ("q", "b"),
        ("q", "c"),
    ]
    ranks = body.shape([labels(0.1), labels(0.9), labels(0.1)])
    assert [(one["index"], one["score"], one["text"]) for one in ranks] == [
        (1, 0.9, "b"),
        (0, 0.1, "a"),
        (2, 0.1, "c"),
    ]
    plain = body.model_copy(update={"return_text": False}).shape([labels(1.0)] * 3)
    assert plain[0] == {"index": 0, "score": 1.0}
