"""Hugging Face's Python client, unmodified: every method, by its oldest and its newest release."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from tests.clients.hub.client import CONTEXT, LABELS, TEXT
from tests.running import RunningServer

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "clients" / "hub" / "client.py"
PYTHONS = {
    "oldest": ROOT / ".venv-hub" / "bin" / "python",  # made by `make e2e`
    "newest": Path(sys.executable),
}
METHODS = (
    "text_classification",
    "token_classification",
    "question_answering",
    "summarization",
    "zero_shot_classification",
    "feature_extraction",
    "sentence_similarity",
    "fill_mask",
)
"""Those of models that generate: ``tests/e2e/test_generation_clients.py``."""

Client = Callable[[str], InferenceClient]


@pytest.fixture(scope="module")
def at(server: RunningServer) -> Client:
    return lambda model: InferenceClient(model=f"{server.url}/models/{model}", timeout=60)


def by_release(python: Path, server: RunningServer, *methods: str) -> dict[str, Any]:
    """The answers that another release gets."""
    command = [python, SCRIPT, server.url, *methods]
    answers: dict[str, Any] = json.loads(subprocess.check_output(command, env={}))
    return answers


def test_the_oldest_release_gets_the_answers_of_the_newest(server: RunningServer):
    old, new = (by_release(python, server, *METHODS) for python in PYTHONS.values())
    assert set(old) == set(new) == set(METHODS)
    new["summarization"] = new["summarization"]["summary_text"]  # the oldest gives the text alone
    assert old == new


def test_labels_are_all_there_and_sorted(at: Client):
    labels = at("intent").text_classification(TEXT, top_k=3, function_to_apply="sigmoid")
    assert len(labels) == 3
    assert labels[0].score >= labels[1].score >= labels[2].score


def test_entities_are_slices_of_the_text(at: Client):
    found = at("entities").token_classification(
        TEXT, aggregation_strategy="simple", ignore_labels=["O"], stride=8
    )
    assert found
    for entity in found:
        assert TEXT[entity.start : entity.end] == entity.word


def test_one_answer_or_several(at: Client):
    client = at("qa")
    question = "Where was he born?"
    answer: Any = client.question_answering(question=question, context=CONTEXT)
    assert CONTEXT[answer.start : answer.end] == answer.answer
    several: Any = client.question_answering(
        question=question,
        context=CONTEXT,
        top_k=2,
        doc_stride=8,
        max_answer_len=5,
        max_question_len=32,
        max_seq_len=64,
        handle_impossible_answer=True,
        align_to_words=False,
    )
    assert len(several) == 2


@pytest.mark.parametrize("multi_label", [None, False, True])
def test_every_candidate_label_has_its_score(at: Client, multi_label: bool | None):
    found = at("nli").zero_shot_classification(
        TEXT, LABELS, multi_label=multi_label, hypothesis_template="It is about {}."
    )
    assert {one.label for one in found} == set(LABELS)
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    if not multi_label:
        assert sum(scores) == pytest.approx(1, abs=1e-5)


def test_an_nli_model_still_classifies(at: Client):
    labels = at("nli").text_classification(TEXT)
    assert {one.label for one in labels} == {"contradiction", "neutral", "entailment"}


def test_embeddings_are_a_float32_matrix_as_asked(at: Client):
    client = at("embed")
    one = client.feature_extraction(TEXT)
    assert (one.dtype, one.shape) == (np.float32, (1, 32))
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    texts = [TEXT, CONTEXT * 30]
    cut = client.feature_extraction(
        texts,  # type: ignore[arg-type]
        normalize=True,
        prompt_name="query",
        truncate=True,
        truncation_direction="left",
        dimensions=8,
        encoding_format="float",
    )
    assert cut.shape == (2, 8)
    np.testing.assert_allclose(np.linalg.norm(cut, axis=1), 1, atol=1e-5)


def test_similarities_are_cosines_of_the_embeddings(at: Client):
    client = at("embed")
    found = client.sentence_similarity(TEXT, other_sentences=[TEXT, CONTEXT])
    first, second = (client.feature_extraction(text)[0] for text in (TEXT, CONTEXT))
    assert found == pytest.approx([1, float(first @ second)], abs=1e-5)


def test_a_path_names_one_of_the_two_tasks_of_an_embedder(server: RunningServer, at: Client):
    """What the client posts to where it is given a hub's name and not an address."""
    where = f"{server.url}/models/embed/pipeline"
    embeddings = httpx.post(f"{where}/feature-extraction", json={"inputs": [TEXT]}).json()
    np.testing.assert_allclose(embeddings, at("embed").feature_extraction(TEXT), atol=1e-6)
    inputs = {"source_sentence": TEXT, "sentences": [CONTEXT]}
    body = {"inputs": inputs, "parameters": {}}
    [score] = httpx.post(f"{where}/sentence-similarity", json=body).json()
    assert [score] == at("embed").sentence_similarity(TEXT, other_sentences=[CONTEXT])
    wrong = httpx.post(f"{where}/feature-extraction", json=body)
    assert wrong.status_code == 422
    other = httpx.post(
        f"{server.url}/models/intent/pipeline/feature-extraction", json={"inputs": TEXT}
    )
    assert other.status_code == 422
    assert "it answers text-classification at /models/intent" in other.json()["error"]


def test_masks_are_filled_from_the_vocabulary_or_from_targets(at: Client):
    client = at("fill")
    found = client.fill_mask("the quick [MASK] fox", top_k=2)
    assert len(found) == 2
    assert found[0].sequence == f"the quick {found[0].token_str} fox"
    targets = client.fill_mask("the quick [MASK] fox", targets=["the", "order"])
    assert {one.token_str for one in targets} == {"the", "order"}


def test_info_tells_what_a_model_answers(server: RunningServer):
    answers = {
        name: httpx.get(f"{server.url}/models/{name}/info").json()["answers"]
        for name in ("intent", "nli", "embed", "fill")
    }
    assert answers == {
        "intent": ["text-classification"],
        "nli": ["text-classification", "zero-shot-classification"],
        "embed": ["feature-extraction", "sentence-similarity"],
        "fill": ["fill-mask"],
    }


def test_windows_and_cuts_are_told_in_headers(server: RunningServer):
    body: dict[str, Any] = {"inputs": CONTEXT * 30}
    read = httpx.post(f"{server.url}/models/embed", json=body)
    assert int(read.headers["x-windows"]) > 1
    assert "x-truncated" not in read.headers
    cut = httpx.post(f"{server.url}/models/embed", json=body | {"truncate": True})
    assert (cut.headers["x-windows"], cut.headers["x-truncated"]) == ("1", "true")
    sentences = {"source_sentence": TEXT, "sentences": [TEXT, CONTEXT]}
    compared = httpx.post(f"{server.url}/models/embed", json={"inputs": sentences})
    assert compared.headers["x-windows"] == "1"


def test_sentences_and_labels_count_as_inputs(server: RunningServer):
    many = [str(number) for number in range(257)]
    for model, body in (
        ("embed", {"inputs": {"source_sentence": "a", "sentences": many}}),
        ("nli", {"inputs": "a", "parameters": {"candidate_labels": many}}),
    ):
        answer = httpx.post(f"{server.url}/models/{model}", json=body)
        assert answer.status_code == 413, answer.text
        assert "257" in answer.json()["error"]


def test_answers_of_all_kinds_do_not_depend_on_who_else_asks(server: RunningServer):
    words = f"{TEXT} {CONTEXT}".split()
    texts = [" ".join(words[n : n + 3 + n % 7]) for n in range(12)]
    asks: list[tuple[str, dict[str, Any]]] = []
    for text in texts:
        asks += [
            ("embed", {"inputs": text}),
            ("embed", {"inputs": {"source_sentence": text, "sentences": texts[:3]}}),
            ("nli", {"inputs": text, "parameters": {"candidate_labels": LABELS}}),
            ("nli", {"inputs": {"text": text, "text_pair": TEXT}}),
            ("fill", {"inputs": f"{text} [MASK]"}),
        ]

    def numbers(ask: tuple[str, dict[str, Any]]) -> list[float]:
        answer = httpx.post(f"{server.url}/models/{ask[0]}", json=ask[1], timeout=60)
        assert answer.status_code == 200, answer.text
        return list(every_float(answer.json()))

    alone = [numbers(ask) for ask in asks]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(numbers, asks))
    for one, other in zip(alone, together, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def every_float(answer: Any) -> Iterator[float]:
    if isinstance(answer, float):
        yield answer
    elif isinstance(answer, list | dict):
        for part in answer.values() if isinstance(answer, dict) else answer:
            yield from every_float(part)


@pytest.mark.parametrize(
    ("model", "ask", "said"),
    [
        ("embed", lambda c: c.feature_extraction(TEXT, dimensions=99), "have 32"),
        ("embed", lambda c: c.feature_extraction(TEXT, prompt_name="no"), "it has query, document"),
        ("fill", lambda c: c.fill_mask(TEXT), r"write \[MASK\]"),
        ("nli", lambda c: c.zero_shot_classification(TEXT * 20, LABELS), "413"),
        ("intent", lambda c: c.zero_shot_classification(TEXT, LABELS), "candidate_labels"),
    ],
)
def test_the_client_shows_the_sentence_of_an_error(
    at: Client, model: str, ask: Callable[[InferenceClient], Any], said: str
):
    with pytest.raises(HfHubHTTPError, match=said):
        ask(at(model))


def test_a_batch_of_both_kinds_of_classification_is_answered_in_order(server: RunningServer):
    body = {"inputs": [TEXT, CONTEXT], "parameters": {"candidate_labels": LABELS}}
    first, second = httpx.post(f"{server.url}/models/nli", json=body).json()
    assert {one["label"] for one in first} == {one["label"] for one in second} == set(LABELS)
    old = {"user-agent": "unknown/None; hf_hub/0.36.2; python/3.11.2"}
    columns = httpx.post(f"{server.url}/models/nli", json=body, headers=old).json()
    assert [set(one) for one in columns] == [{"labels", "scores"}] * 2
