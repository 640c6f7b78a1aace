"""Hugging Face's JavaScript client, unmodified: every method gets what the Python client gets."""

from typing import Any

import numpy as np
import pytest
from huggingface_hub import InferenceClient

from tests.clients.hub.client import CONTEXT, LABELS, TEXT
from tests.clients.javascript import ask_in_javascript
from tests.running import RunningServer

QUESTION = {"question": "Where was he born?", "context": CONTEXT}
SENTENCES = {"source_sentence": TEXT, "sentences": [TEXT, CONTEXT]}
ASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "textClassification": ("intent", {"inputs": TEXT, "parameters": {"top_k": 3}}),
    "tokenClassification": ("entities", {"inputs": TEXT}),
    "questionAnswering": ("qa", {"inputs": QUESTION}),
    "summarization": ("summary", {"inputs": TEXT}),
    "featureExtraction": ("embed", {"inputs": [TEXT, CONTEXT]}),
    "sentenceSimilarity": ("embed", {"inputs": SENTENCES}),
    "zeroShotClassification": (
        "nli",
        {"inputs": TEXT, "parameters": {"candidate_labels": LABELS}},
    ),
    "fillMask": ("fill", {"inputs": "the quick [MASK] fox", "parameters": {"top_k": 2}}),
}


@pytest.fixture(scope="module")
def answers(server: RunningServer) -> dict[str, Any]:
    """What each method gives, all asked by one process."""
    asks = [
        {"method": method, "url": f"{server.url}/models/{model}", "args": args}
        for method, (model, args) in ASKS.items()
    ]
    outcomes = ask_in_javascript(asks)
    for method, outcome in zip(ASKS, outcomes, strict=True):
        assert "answer" in outcome, (method, outcome)
    return {method: one["answer"] for method, one in zip(ASKS, outcomes, strict=True)}


def python(server: RunningServer, model: str) -> InferenceClient:
    return InferenceClient(model=f"{server.url}/models/{model}", timeout=60)


def test_labels(answers: dict[str, Any], server: RunningServer):
    other = python(server, "intent").text_classification(TEXT, top_k=3)
    assert answers["textClassification"] == [dict(one) for one in other]
    assert len(other) == 3


def test_entities_are_slices_of_the_text(answers: dict[str, Any]):
    assert answers["tokenClassification"]
    for one in answers["tokenClassification"]:
        assert TEXT[one["start"] : one["end"]] == one["word"]


def test_an_answer_is_a_slice_of_the_context(answers: dict[str, Any]):
    one = answers["questionAnswering"]
    one = one[0] if isinstance(one, list) else one
    assert CONTEXT[one["start"] : one["end"]] == one["answer"]


def test_a_summary(answers: dict[str, Any]):
    assert answers["summarization"]["summary_text"] in TEXT


def test_embeddings(answers: dict[str, Any], server: RunningServer):
    other = python(server, "embed").feature_extraction([TEXT, CONTEXT])
    assert np.allclose(np.array(answers["featureExtraction"]), other, atol=1e-5)


def test_similarity(answers: dict[str, Any]):
    same, different = answers["sentenceSimilarity"]
    assert same == pytest.approx(1, abs=1e-4)
    assert different < same


def test_labels_that_the_caller_names(answers: dict[str, Any]):
    got = answers["zeroShotClassification"]
    assert {one["label"] for one in got} == set(LABELS)
    assert [one["score"] for one in got] == sorted((one["score"] for one in got), reverse=True)


def test_a_mask(answers: dict[str, Any]):
    got = answers["fillMask"]
    assert len(got) == 2
    assert set(got[0]) >= {"score", "token", "token_str", "sequence"}
