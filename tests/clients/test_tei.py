"""text-embeddings-inference's shapes, as its clients send them."""

from typing import Any

import httpx
import pytest

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
