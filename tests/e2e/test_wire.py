"""The Hugging Face shapes, headers and errors, over a real socket."""

import json
from pathlib import Path

import httpx
import pytest
from huggingface_hub import InferenceClient

from tests.running import RunningServer, running

LONG = "The quick brown fox jumps over the lazy dog. " * 40


def test_every_task_answers_the_hugging_face_client(server: RunningServer):
    def client(name: str) -> InferenceClient:
        return InferenceClient(model=f"{server.url}/models/{name}", timeout=60)

    labels = client("intent").text_classification("Where is my order?", top_k=2)
    assert [type(each.label) for each in labels] == [str, str]
    assert labels[0].score >= labels[1].score

    text = "Angela Merkel visited Paris 🎉"
    for entity in client("entities").token_classification(text):
        assert text[entity.start : entity.end] == entity.word

    context = "Barack Obama was born in Honolulu, Hawaii."
    answer = client("qa").question_answering(question="Where was he born?", context=context)
    assert context[answer.start : answer.end] == answer.answer

    summary = client("summary").summarization(LONG)
    assert summary.summary_text in LONG


def test_a_list_gives_a_list_in_order(server: RunningServer):
    texts = ["Where is my order?", "Thank you!", "Where is my order?"]
    answers = server.ask("intent", texts, top_k=1).json()
    assert len(answers) == 3
    for text, (together,) in zip(texts, answers, strict=True):
        ((alone,),) = server.ask("intent", text, top_k=1).json()
        assert alone["label"] == together["label"]
        assert alone["score"] == pytest.approx(together["score"], abs=1e-5)


def test_headers_tell_version_windows_and_times(server: RunningServer):
    answer = server.ask("entities", LONG)
    assert answer.headers["x-model-version"] == "entities@1"
    assert int(answer.headers["x-windows"]) > 1
    assert float(answer.headers["x-compute-ms"]) > 0
    assert float(answer.headers["x-queue-ms"]) >= 0
    assert answer.headers["content-type"] == "application/json"
    assert "x-truncated" not in answer.headers
    cut = server.ask("intent", LONG, long="truncate")
    assert cut.headers["x-truncated"] == "true"
    assert server.ask("intent", LONG, long="window").status_code == 200


def test_with_a_cache_the_same_question_is_not_computed_again(arguments: list[str], tmp_path: Path):
    with running(tmp_path / "log", *arguments, "--backend=fake", "--cache-mb=1") as one:
        one.wait_ready()
        first, again = one.ask("intent", "hello"), one.ask("intent", "hello")
        other = one.ask("intent", "hello", top_k=1)
        metrics = httpx.get(f"{one.url}/metrics").text
    assert again.content == first.content
    assert again.headers["x-cache"] == "hit"
    assert again.headers["x-model-version"] == first.headers["x-model-version"]
    assert "x-cache" not in first.headers
    assert "x-cache" not in other.headers
    assert 'tuneserve_cache_requests_total{found="hit"} 1.0' in metrics


def test_the_request_id_is_the_callers_or_a_new_one(server: RunningServer):
    body = {"inputs": "hello"}
    url = f"{server.url}/models/intent"
    mine = httpx.post(url, json=body, headers={"x-request-id": "mine-1"})
    assert mine.headers["x-request-id"] == "mine-1"
    first, second = httpx.post(url, json=body), httpx.post(url, json=body)
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("intent", b"{", 422, "JSON"),
        ("intent", b'{"inputs": "\\ud800"}', 422, "JSON"),
        ("intent", {"inputs": ""}, 422, "inputs"),
        ("intent", {"inputs": "a", "parameters": {"topk": 1}}, 422, "top_k"),
        ("intent", {"inputs": LONG}, 413, "128"),
        ("intent", {"inputs": ["a"] * 257}, 413, "256"),
        ("intent", {"inputs": "a" * 2_000_001}, 413, "2000000 bytes"),
        ("nothing", {"inputs": "a"}, 404, "entities, intent, qa, summary"),
        ("intent@7", {"inputs": "a"}, 404, "intent has no version"),
        ("qa", {"inputs": "a"}, 422, "inputs"),
    ],
)
def test_every_fault_of_the_caller_has_its_status_and_sentence(
    server: RunningServer, path: str, body: object, status: int, said: str
):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = httpx.post(f"{server.url}/models/{path}", content=raw, timeout=30)
    assert answer.status_code == status, answer.text
    error = answer.json()
    assert set(error) == {"error", "error_type", "request_id"}
    assert said in error["error"]
    assert error["request_id"] == answer.headers["x-request-id"]


def test_one_bad_input_of_a_list_fails_the_list_and_is_named(server: RunningServer):
    answer = server.ask("intent", ["fine", LONG, "fine"])
    assert answer.status_code == 413
    assert answer.json()["error"].startswith("inputs[1]: ")


def test_errors_among_the_answers_come_where_they_are_asked_for(server: RunningServer):
    def ask(model: str, body: object, said: str = "true") -> httpx.Response:
        headers = {"x-partial-results": said}
        return httpx.post(f"{server.url}/models/{model}", json=body, headers=headers, timeout=30)

    answer = ask("intent", {"inputs": ["fine", LONG, "", 3, "fine too"]})
    assert (answer.status_code, answer.headers["x-failed-items"]) == (200, "3")
    entries = answer.json()
    assert [isinstance(one, list) for one in entries] == [True, False, False, False, True]
    for place, code in ((1, "input_too_long"), (2, "invalid_request"), (3, "invalid_request")):
        assert set(entries[place]) == {"error", "error_type", "request_id"}
        assert entries[place]["error_type"] == code
        assert f"inputs[{place}]" in entries[place]["error"], entries[place]
    assert entries[0] == server.ask("intent", "fine").json()[0]
    context = {"question": "Where?", "context": "In Paris."}
    pair = ask("qa", {"inputs": [context, {"question": "Where?"}]}).json()
    assert ("answer" in pair[0], "error" in pair[1]) == (True, True)
    all_wrong = ask("entities", {"inputs": ["a", "b"], "parameters": {"topk": 1}})
    assert (all_wrong.status_code, "unknown parameter" in all_wrong.text) == (422, True)
    assert ask("intent", {"inputs": LONG}).status_code == 413
    assert ask("intent", {"inputs": ["fine", LONG]}, "false").status_code == 413
    assert ask("intent", {"inputs": ["fine"]}, "yes").status_code == 422


def test_a_deadline_that_passes_is_504(server: RunningServer):
    answer = httpx.post(
        f"{server.url}/models/entities",
        json={"inputs": [LONG] * 200},
        headers={"x-request-timeout-ms": "1"},
        timeout=30,
    )
    assert (answer.status_code, answer.json()["error_type"]) == (504, "deadline_exceeded")


def test_the_default_model_must_be_named_where_there_are_several(server: RunningServer):
    for path in ("/", "/invocations"):
        answer = httpx.post(f"{server.url}{path}", json={"inputs": "a"})
        assert answer.status_code == 404
        assert "--default-model" in answer.json()["error"]


@pytest.mark.parametrize("path", ["admin/models/intent/load", "v2/repository/models/intent/unload"])
def test_models_are_not_changed_where_there_is_no_administrator(server: RunningServer, path: str):
    answer = httpx.post(f"{server.url}/{path}", headers={"x-api-key": ""})
    assert answer.status_code == 403
    assert "SERVE_ADMIN_KEY" in answer.json()["error"]


def test_ready_names_every_model_and_one_engine(server: RunningServer):
    status, report = server.ready()
    assert (status, report["state"]) == (200, "ready")
    assert len(report["engine_pids"]) == 1
    assert {model["name"] for model in report["models"]} == {"intent", "entities", "qa", "summary"}
    for model in report["models"]:
        assert model["engine_pid"] == report["engine_pids"][0]
        assert (model["backend"], model["precision"]) == ("torch", "fp32")
    assert report["server_pid"] == server.process.pid


def test_the_small_paths_answer(server: RunningServer):
    for path in ("/livez", "/health", "/ping", "/models/intent/health", "/docs"):
        assert httpx.get(f"{server.url}{path}").status_code == 200, path
    listed = httpx.get(f"{server.url}/v1/models").json()
    assert [model["id"] for model in listed["data"]] == ["intent", "entities", "qa", "summary"]
    info = httpx.get(f"{server.url}/models/intent@1/info").json()
    assert (info["task"], info["max_tokens"]) == ("text-classification", 128)


def test_openapi_has_a_schema_and_an_example_per_task(server: RunningServer):
    document = httpx.get(f"{server.url}/openapi.json").json()
    post = document["paths"]["/models/{name}"]["post"]
    content = post["requestBody"]["content"]["application/json"]
    assert len(content["schema"]["anyOf"]) == 9
    for reference in content["schema"]["anyOf"]:
        assert reference["$ref"].rsplit("/", 1)[1] in document["components"]["schemas"]
    names = {"text-classification": "intent", "token-classification": "entities"}
    names |= {"question-answering": "qa", "summarization (extractive)": "summary"}
    for task, name in names.items():  # the others: where there are models for them
        example = content["examples"][task]["value"]
        answer = httpx.post(f"{server.url}/models/{name}", json=example)
        assert answer.status_code == 200, answer.text


def test_metrics_count_requests_batches_tokens_and_models(server: RunningServer):
    before = server.metric("tuneserve_requests_total")
    server.ask("intent", ["one text", "another text"])
    server.ask("nothing", "a")
    assert server.metric("tuneserve_requests_total") == before + 2
    for name in ("queue", "tokenize", "compute", "request"):
        assert server.metric(f"tuneserve_{name}_seconds_count") > 0
    real, padded = (server.metric(f"tuneserve_tokens_{kind}_total") for kind in ("real", "padded"))
    assert 0 < real <= padded
    assert server.metric("tuneserve_models_loaded") == 4
    assert server.metric("tuneserve_model_bytes") > 0
    assert server.metric("tuneserve_waiting") == 0
    assert server.metric("process_resident_memory_bytes") > 0


def test_logs_are_json_with_the_request_id_and_without_the_text(server: RunningServer):
    secret = "zebra stripes quantum"
    answer = server.ask("intent", secret)
    assert server.log_line(answer.headers["x-request-id"])["status"] == 200
    assert secret not in server.log.read_text()
