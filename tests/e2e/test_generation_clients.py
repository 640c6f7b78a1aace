"""The clients that people have, unmodified, on a model that generates."""

import json
from collections.abc import Iterator

import httpx
import pytest
from huggingface_hub import InferenceClient

from tests.clients.environment import outside
from tests.clients.test_huggingface_hub import PYTHONS, by_release
from tests.e2e.writers import MAX_TOKENS, tiny_writer
from tests.running import RunningServer, running

TEXT = "The parcel waits in the warehouse of Hamburg. Thank you for the quick answer."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("writer")
    bart = tiny_writer(folder / "bart")
    arguments = (f"--store={folder / 'store'}", "--backend=torch", "--precision=fp32")
    with running(folder / "log", *arguments, f"--model=bart={bart}") as one:
        one.wait_ready()
        yield one


@pytest.fixture
def client(server: RunningServer) -> InferenceClient:
    return InferenceClient(model=f"{server.url}/models/bart", timeout=60)


def plain(server: RunningServer, text: str = TEXT, tokens: int = 24) -> str:
    answer = server.ask("bart", text, max_new_tokens=tokens)
    assert answer.status_code == 200, answer.text
    [generated] = answer.json()
    return str(generated["generated_text"])


def test_only_the_lane_that_is_needed_runs(server: RunningServer):
    status, report = server.ready()
    assert (status, len(report["engine_pids"])) == (200, 1)
    [model] = report["models"]
    assert model["generates"]
    assert model["engine_pid"] == report["engine_pids"][0]


def test_every_client_of_hugging_face_gets_the_same_answer(
    server: RunningServer, client: InferenceClient
):
    text = plain(server)
    assert text.strip()
    limit = {"max_new_tokens": 24}
    assert client.summarization(TEXT, generate_parameters=limit).summary_text == text
    assert client.translation(TEXT, generate_parameters=limit).translation_text == text
    assert client.text_generation(TEXT, max_new_tokens=24) == text
    assert "".join(client.text_generation(TEXT, max_new_tokens=24, stream=True)) == text


def test_details_tell_the_tokens_and_a_stream_tells_the_same(client: InferenceClient):
    whole = client.text_generation(TEXT, max_new_tokens=24, details=True)
    *tokens, last = client.text_generation(TEXT, max_new_tokens=24, details=True, stream=True)
    assert whole.details is not None
    assert last.details is not None
    told = [each.token.id for each in (*tokens, last)]
    assert [each.id for each in whole.details.tokens] == told
    assert whole.details.generated_tokens == last.details.generated_tokens == len(told) == 24
    assert whole.details.finish_reason == last.details.finish_reason == "length"
    assert last.generated_text == whole.generated_text
    assert "".join(each.token.text for each in (*tokens, last)) == whole.generated_text
    assert last.details.input_length > 10


def test_a_seed_gives_the_same_answer_again_and_another_one_another(client: InferenceClient):
    def draw(seed: int) -> str:
        return client.text_generation(TEXT, max_new_tokens=24, temperature=1.5, seed=seed)

    assert draw(1) == draw(1) != draw(2)


def test_beams_are_streamed_at_their_end(server: RunningServer):
    given = {"num_beams": 3, "max_new_tokens": 12}
    body = {"inputs": TEXT, "parameters": given, "stream": True}
    answer = httpx.post(f"{server.url}/models/bart", json=body, timeout=60)
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line[:5] == "data:"]
    [whole] = server.ask("bart", TEXT, **given).json()
    assert events[-1]["generated_text"] == whole["generated_text"]
    assert "".join(event["token"]["text"] for event in events) == whole["generated_text"]


def test_a_text_longer_than_the_model_is_never_cut_in_silence(server: RunningServer):
    long = TEXT * 20
    refused = server.ask("bart", long, max_new_tokens=8)
    assert refused.status_code == 413
    assert str(MAX_TOKENS) in refused.json()["error"]
    cut = server.ask("bart", long, max_new_tokens=8, long="truncate")
    assert (cut.status_code, cut.headers["x-truncated"]) == (200, "true")
    body = {"inputs": long, "parameters": {"long": "truncate"}, "stream": True}
    stream = httpx.post(f"{server.url}/models/bart", json=body, timeout=60)
    assert json.loads(stream.text.rstrip().rsplit("data: ", 1)[1])["truncated"] is True
    read = server.ask("bart", long, max_new_tokens=8, long="window")
    assert (read.status_code, "x-truncated" in read.headers) == (200, False)


def test_openapis_examples_of_generation_are_answered(server: RunningServer):
    document = httpx.get(f"{server.url}/openapi.json").json()
    content = document["paths"]["/models/{name}"]["post"]
    assert "text/event-stream" in content["responses"]["200"]["content"]
    examples = content["requestBody"]["content"]["application/json"]["examples"]
    mine = ("summarization (generated)", "translation", "text2text-generation")
    for name in mine:
        example = examples[name]["value"]
        answer = httpx.post(f"{server.url}/models/bart", json=example, timeout=60)
        assert answer.status_code == 200, answer.text
        streamed = answer.headers["content-type"].startswith("text/event-stream")
        assert streamed is example.get("stream", False)


def test_langchains_endpoint_gets_the_same_answer_in_all_its_ways(server: RunningServer):
    text = plain(server)
    answers = outside("langchain_endpoint.py", f"{server.url}/models/bart", TEXT)
    assert answers["invoke"] == answers["streaming"] == answers["ainvoke"] == text
    assert answers["batch"] == [text, text]
    assert "".join(answers["stream"]) == "".join(answers["astream"]) == text
    assert len(answers["stream"]) > 5


def test_the_oldest_release_of_hugging_faces_client_gets_the_same_answer(server: RunningServer):
    old, new = (
        by_release(python, server, "translation", "text_generation") for python in PYTHONS.values()
    )
    new["translation"] = new["translation"]["translation_text"]
    assert old == new


def test_a_bulk_job_is_answered_whole_line_by_line(server: RunningServer):
    lines = [
        {"inputs": f"{TEXT} {number}", "parameters": {"max_new_tokens": 6, "num_beams": 1}}
        for number in range(20)
    ]
    lines.insert(3, {"inputs": TEXT, "stream": True})
    body = "".join(f"{json.dumps(line)}\n" for line in lines)
    answer = httpx.post(f"{server.url}/models/bart/bulk", content=body, timeout=60)
    got = [json.loads(line) for line in answer.text.splitlines()]
    assert len(got) == 21
    assert (got[3]["line"], got[3]["error_type"]) == (4, "invalid_request")
    assert "stream" in got[3]["error"]
    for place in (0, 20):
        alone = httpx.post(f"{server.url}/models/bart", json=lines[place], timeout=60).json()
        assert got[place] == alone


def test_metrics_tell_tokens_and_times(server: RunningServer):
    before = server.metric("tuneserve_generated_tokens_total")
    plain(server, tokens=7)
    assert server.metric("tuneserve_generated_tokens_total") == before + 7
    assert server.metric("tuneserve_source_tokens_total") > 0
    assert server.metric("tuneserve_first_token_seconds_count") > 0
    assert server.metric("tuneserve_token_seconds_count") > 0
    for gauge in ("rows_running", "rows_waiting", "kv_tokens"):
        assert server.metric(f"tuneserve_{gauge}") == 0
