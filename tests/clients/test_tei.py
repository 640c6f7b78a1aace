"""text-embeddings-inference's shapes, as its clients send them."""

from typing import Any

import httpx
import numpy as np
import pytest

from tests.clients.environment import outside
from tests.running import RunningServer


def post(server: RunningServer, path: str, **body: Any) -> httpx.Response:
    return httpx.post(f"{server.url}{path}", json=body, timeout=60)


def test_predict_gives_every_label_flat_for_one_text_and_nested_for_a_batch(server: RunningServer):
    flat = post(server, "/tei/intent/predict", inputs="Where is my parcel?").json()
    assert [set(each) for each in flat] == [{"label", "score"}] * 4
    assert sum(each["score"] for each in flat) == pytest.approx(1, abs=1e-5)
    nested = post(
        server, "/tei/intent/predict", inputs=[["Where is my parcel?"], ["a", "pair"]]
    ).json()
    assert [one["label"] for one in nested[0]] == [one["label"] for one in flat]
    pair = post(server, "/tei/intent/predict", inputs=["a", "pair"]).json()
    assert [one["label"] for one in pair] == [one["label"] for one in nested[1]]
    raw = post(server, "/tei/intent/predict", inputs="Where is my parcel?", raw_scores=True).json()
    assert [one["label"] for one in raw] == [one["label"] for one in flat]
    assert raw[0]["score"] != flat[0]["score"]


def test_a_long_text_is_refused_or_cut_as_asked(server: RunningServer):
    refused = post(server, "/tei/intent/predict", inputs="parcel " * 500)
    assert refused.status_code == 413
    cut = post(server, "/tei/intent/predict", inputs="parcel " * 500, truncate=True)
    assert (cut.status_code, cut.headers["x-truncated"]) == (200, "true")


def test_errors_have_its_types_and_our_request_id(server: RunningServer):
    wrong = post(server, "/tei/entities/predict", inputs="a")
    assert (wrong.status_code, wrong.json()["error_type"]) == (424, "Backend")
    unknown = post(server, "/tei/nothing/predict", inputs="a")
    assert (unknown.status_code, unknown.json()["error_type"]) == (404, "Validation")
    broken = post(server, "/tei/intent/predict", inputs="a", truncat=True)
    assert broken.status_code == 422
    assert 'did you mean "truncate"?' in broken.json()["error"]
    assert broken.json()["request_id"] == broken.headers["x-request-id"]


def test_info_tells_the_model_and_the_limits(server: RunningServer):
    info = httpx.get(f"{server.url}/tei/intent/info").json()
    assert (info["model_id"], info["model_dtype"]) == ("intent", "float32")
    assert info["model_type"]["classifier"]["label2id"]["refund"] == 0
    assert (info["max_input_length"], info["max_client_batch_size"]) == (128, 256)
    info = httpx.get(f"{server.url}/tei/embed/info").json()
    assert info["model_type"] == {"embedding": {"pooling": "mean"}}
    assert "reranker" in httpx.get(f"{server.url}/tei/rerank/info").json()["model_type"]


def test_embed_and_similarity_are_those_of_the_main_interface(server: RunningServer):
    texts = ["Where is my parcel?", "Thank you, Zoë! 🎉"]
    vectors = post(server, "/embed", inputs=texts).json()
    plain = post(server, "/models/embed", inputs=texts, normalize=True).json()
    np.testing.assert_allclose(vectors, plain, atol=1e-6)
    [one] = post(server, "/tei/embed/embed", inputs=texts[0]).json()
    np.testing.assert_allclose(one, plain[0], atol=1e-6)
    raw = post(server, "/embed", inputs=texts, normalize=False).json()
    assert np.linalg.norm(raw[0]) != pytest.approx(1, abs=1e-2)
    [cut] = post(server, "/embed", inputs=texts[0], dimensions=8, prompt_name="query").json()
    assert len(cut) == 8
    compare = {"source_sentence": texts[0], "sentences": texts}
    cosines = post(server, "/similarity", inputs=compare).json()
    assert cosines == pytest.approx([1, np.dot(plain[0], plain[1])], abs=1e-5)


def test_rerank_orders_texts_best_first(server: RunningServer):
    texts = ["Within 30 days.", "The bridge is open.", "Thank you for the parcel."]
    ranks = post(server, "/rerank", query="How long?", texts=texts, return_text=True).json()
    assert sorted(each["index"] for each in ranks) == [0, 1, 2]
    assert [each["text"] for each in ranks] == [texts[each["index"]] for each in ranks]
    scores = [each["score"] for each in ranks]
    assert scores == sorted(scores, reverse=True)
    raw = post(server, "/rerank", query="How long?", texts=texts, raw_scores=True).json()
    assert [each["index"] for each in raw] == [each["index"] for each in ranks]
    assert scores == pytest.approx([1 / (1 + np.exp(-each["score"])) for each in raw], abs=1e-5)
    assert "text" not in raw[0]


def test_the_plain_paths_ask_the_only_model_that_can(server: RunningServer):
    assert post(server, "/embed", inputs="a").headers["x-model-version"] == "embed@1"
    several = post(server, "/predict", inputs="a")
    assert several.status_code == 404
    assert "--default-model" in several.json()["error"]


def test_llama_index_embeds_and_reranks(server: RunningServer):
    """LlamaIndex's clients for it, in an environment of their own."""
    text = "The parcel waits in the warehouse of Hamburg."
    others = ["Thank you for the quick answer.", "Where is it?"]
    answers = outside("llama_index_client.py", server.url, text, *others)
    plain = post(server, "/models/embed", inputs=[text, *others], normalize=True).json()
    np.testing.assert_allclose(answers["query"], plain[0], atol=1e-6)
    np.testing.assert_allclose(answers["awaited"], plain[0], atol=1e-6)
    np.testing.assert_allclose(answers["texts"], plain[1:], atol=1e-6)
    ranks = post(server, "/rerank", query=text, texts=others).json()
    assert answers["reranked"] == [others[each["index"]] for each in ranks]
