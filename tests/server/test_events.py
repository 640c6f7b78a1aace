"""Streams: every token as it comes, one last event with everything, and an end in every case."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import OverloadedError, UnknownError

from server.lanes import Lane
from server.messages import ModelStatus
from tests.server.http_process import HttpProcess
from tests.server.stand_in import LINES, StandIn

BART = ModelStatus("bart", 1, (), "summarization", "ready", generates=True)
INTENT = ModelStatus("intent", 1, (), "text-classification", "ready")
EXTRACT = ModelStatus("extract", 1, (), "summarization", "ready")


@dataclass
class Bench:
    """An HTTP process over two scripted engines."""

    http: HttpProcess
    engine: StandIn

    def post(self, text: Any, model: str = "bart", **body: Any) -> httpx.Response:
        return httpx.post(f"{self.http.url}/models/{model}", json={"inputs": text, **body})

    def events(self, text: str, **headers: str) -> list[tuple[str, dict[str, Any]]]:
        """Name and data of every event of a stream."""
        answer = httpx.post(
            f"{self.http.url}/models/bart",
            json={"inputs": text, "stream": True},
            headers=headers,
            timeout=10,
        )
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        return parsed(answer.text)

    def answered(self, status: int) -> float:
        labels = 'model="bart",protocol="hugging-face",'
        labels += f'status="{status}",task="summarization",version="1"'
        return self.http.metric(f"tuneserve_requests_total{{{labels}}}")


def parsed(text: str) -> list[tuple[str, dict[str, Any]]]:
    events = []
    for block in text.split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        events.append((fields.get("event", ""), json.loads(fields["data"])))
    assert text.endswith("\n\n")
    return events


def start(engine: StandIn) -> threading.Thread:
    thread = threading.Thread(target=engine.run, daemon=True)
    thread.start()
    return thread


@pytest.fixture
def settings() -> dict[str, Any]:
    return {}


@pytest.fixture
def bench(tmp_path: Path, settings: dict[str, Any]) -> Iterator[Bench]:
    paths = {Lane.ENCODING: [tmp_path / "e.sock"], Lane.GENERATION: [tmp_path / "g.sock"]}
    models = {Lane.ENCODING: (INTENT, EXTRACT), Lane.GENERATION: (BART,)}
    other = StandIn(paths[Lane.ENCODING][0], models[Lane.ENCODING])
    engine = StandIn(paths[Lane.GENERATION][0], models[Lane.GENERATION])
    threads = [start(other), start(engine)]
    with HttpProcess(paths, models, **settings).running() as http:
        yield Bench(http.ready(), engine)
    for one in (other, engine):
        one.closing.set()
    for thread in threads:
        thread.join(5)


def test_each_token_is_an_event_and_the_last_one_has_the_whole_answer(bench: Bench):
    *tokens, (name, last) = bench.events("one two three EOS")
    assert [(name, event["index"], event["token"]["text"]) for name, event in tokens] == [
        ("", 1, "one "),
        ("", 2, "two "),
        ("", 3, "three "),
    ]
    for _, event in tokens:
        assert event["generated_text"] is None
        assert event["details"] is None
        assert event["token"] == {
            "id": len(event["token"]["text"]) - 1,
            "text": event["token"]["text"],
            "logprob": -0.5,
            "special": False,
        }
    assert name == "done"
    assert last == {
        "index": 4,
        "token": {"id": 3, "text": "", "logprob": -0.5, "special": True},
        "generated_text": "one two three ",
        "summary_text": "one two three ",
        "translation_text": "one two three ",
        "details": {
            "finish_reason": "length",
            "generated_tokens": 4,
            "input_length": 4,
            "seed": None,
        },
        "usage": {"prompt_tokens": 4, "completion_tokens": 4, "total_tokens": 8},
        "windows": 1,
        "truncated": False,
    }


def test_a_stream_tells_its_request_and_is_not_to_be_kept(bench: Bench):
    headers = {"x-request-id": "mine", "accept": "text/event-stream"}
    answer = httpx.post(
        f"{bench.http.url}/models/bart", json={"inputs": "one two"}, headers=headers
    )
    assert answer.headers["x-request-id"] == "mine"
    assert answer.headers["x-model-version"] == "bart@1"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert [name for name, _ in parsed(answer.text)] == ["", "done"]


@pytest.mark.parametrize(
    ("accept", "stream", "kind"),
    [
        ("text/event-stream", None, "text/event-stream; charset=utf-8"),
        ("text/event-stream", False, "application/json"),
        ("application/json, text/event-stream", None, "application/json"),
        ("application/json", True, "text/event-stream; charset=utf-8"),
        ("*/*", None, "application/json"),
    ],
)
def test_the_body_decides_and_else_the_accept_header(
    bench: Bench, accept: str, stream: bool | None, kind: str
):
    answer = httpx.post(
        f"{bench.http.url}/models/bart",
        json={"inputs": "one two", "stream": stream},
        headers={"accept": accept},
    )
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)


def test_the_headers_wait_for_the_first_token(bench: Bench):
    with httpx.Client(timeout=httpx.Timeout(5, read=0.3)) as client:
        body = {"inputs": "HOLD one", "stream": True}
        with pytest.raises(httpx.ReadTimeout):
            client.post(f"{bench.http.url}/models/bart", json=body)
    bench.engine.released.set()
    assert [name for name, _ in bench.events("HOLD one")] == ["done"]


def test_a_token_goes_out_as_soon_as_the_next_one_is_there(bench: Bench):
    body = {"inputs": "one two HOLD three four", "stream": True}
    with httpx.stream("POST", f"{bench.http.url}/models/bart", json=body, timeout=5) as answer:
        lines = (line for line in answer.iter_lines() if line)
        assert json.loads(next(lines).removeprefix("data: "))["token"]["text"] == "one "
        assert not bench.engine.released.is_set()
        bench.engine.released.set()
        assert [line for line in lines if line == "event: done"]


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        ("FULL", 429, "overloaded"),
        ("BROKEN", 500, "backend_failure"),
        ("LATE", 504, "deadline_exceeded"),
        ("CRASH", 503, "unavailable"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_what_goes_wrong_before_the_first_token_is_an_ordinary_error(
    bench: Bench, script: str, status: int, code: str, stream: bool
):
    answer = bench.post(script, stream=stream)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert answer.json()["error_type"] == code
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "secret" not in answer.text
    if status == 429:
        assert answer.headers["retry-after"] == "7"
    assert bench.answered(status) == 1


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        ("FULL", 429, "overloaded"),
        ("BROKEN", 500, "backend_failure"),
        ("LATE", 504, "deadline_exceeded"),
        ("CRASH", 503, "unavailable"),
    ],
)
def test_what_goes_wrong_later_is_an_error_event_and_the_end(
    bench: Bench, script: str, status: int, code: str
):
    *tokens, (name, error) = bench.events(f"one two three {script}")
    assert [event["token"]["text"] for _, event in tokens] == ["one ", "two ", "three "]
    assert name == "error"
    assert set(error) == {"error", "error_type", "request_id"}
    assert error["error_type"] == code
    assert "secret" not in error["error"]
    bench.http.wait(lambda: bench.answered(status) == 1)
    assert bench.answered(200) == 0


def test_a_stream_that_takes_too_long_ends_with_an_error_event_and_frees_the_engine(bench: Bench):
    began = time.monotonic()
    events = bench.events("one two HOLD", **{"x-request-timeout-ms": "300", "x-request-id": "r"})
    assert [name for name, _ in events] == ["", "", "error"]
    assert events[-1][1]["error_type"] == "deadline_exceeded"
    assert 0.2 < time.monotonic() - began < 3
    bench.http.wait(lambda: [each for each, _ in bench.engine.cancelled] == ["r"])
    bench.http.wait(lambda: bench.answered(504) == 1)


@pytest.mark.parametrize("script", ["HOLD", "one two HOLD"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_caller_who_leaves_frees_the_engine_at_once(bench: Bench, script: str, stream: bool):
    async def leave() -> float:
        async with httpx.AsyncClient() as client:
            body = {"inputs": script, "stream": stream}
            asked = asyncio.create_task(
                client.send(
                    client.build_request("POST", f"{bench.http.url}/models/bart", json=body),
                    stream=True,
                )
            )
            await asyncio.sleep(0.3)
            asked.cancel()
        return time.monotonic()

    left = asyncio.run(leave())
    bench.http.wait(lambda: bench.engine.cancelled)
    [(_, freed)] = bench.engine.cancelled
    assert freed - left < 0.5
    bench.http.wait(lambda: bench.answered(499) == 1)
    assert bench.http.pool.all_waiting == 0


@pytest.mark.parametrize(
    ("model", "body", "said"),
    [
        ("bart", {"inputs": ["one", "two"], "stream": True}, "inputs: a stream answers one"),
        ("intent", {"inputs": "one", "stream": True}, "stream: this model does not generate"),
        ("extract", {"inputs": "one", "stream": True}, "stream: this model does not generate"),
        ("intent", {"inputs": "one"}, "intent does not generate text"),
        ("bart", {"inputs": "one", "parameters": {"max_new_token": 1}}, '"max_new_tokens"'),
        (
            "bart",
            {"inputs": "one", "parameters": {"generate_parameters": {"beams": 1}}},
            '"num_beams"',
        ),
        ("extract", {"inputs": "one", "parameters": {"num_beams": 2}}, "parameters.num_beams"),
    ],
)
def test_what_cannot_be_streamed_is_refused_in_words(
    bench: Bench, model: str, body: dict[str, Any], said: str
):
    accept = {"accept": "text/event-stream"}
    answer = httpx.post(f"{bench.http.url}/models/{model}", json=body, headers=accept)
    assert (answer.status_code, answer.json()["error_type"]) == (422, "invalid_request")
    assert said in answer.json()["error"]
    assert bench.engine.works == []


def test_a_list_of_texts_is_answered_without_a_stream(bench: Bench):
    answer = bench.post(["one two", "one two"], stream=False)
    assert [each["summary_text"] for each in answer.json()] == ["one two "] * 2


@pytest.mark.parametrize("settings", [{"gzip": True}])
def test_streams_are_not_compressed_and_answers_are(bench: Bench):
    stream = bench.post("one two three", stream=True)
    assert "content-encoding" not in stream.headers
    assert bench.post("one two three").headers["content-encoding"] == "gzip"


def stalled(bench: Bench, timeout_ms: int, words: int, *, last: str = "") -> socket.socket:
    """A connection whose client asked for a megabyte of tokens, and does not read."""
    text = " ".join(["x" * 3000] * words + [last])
    body = json.dumps({"inputs": text, "stream": True}).encode()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", int(bench.http.url.rsplit(":", 1)[1])))
    head = (
        f"POST /models/bart HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
        f"x-request-timeout-ms: {timeout_ms}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    sock.sendall(head.encode() + body)
    return sock


@pytest.mark.parametrize("settings", [{"max_body_bytes": 10_000_000, "max_characters": 10_000_000}])
def test_a_reader_who_pauses_gets_every_token_in_order(bench: Bench):
    sock = stalled(bench, 20_000, 1500)
    bench.http.wait(lambda: bench.http.pool.all_waiting == 1)
    bench.http.wait(lambda: bench.http.pool.all_waiting == 0, 20)  # the engine is done with it
    assert bench.http.drain.in_flight == 1
    with sock, sock.makefile("rb") as file:
        lines = [line[6:] for line in file if line.startswith(b"data: ")]
    assert [json.loads(line)["index"] for line in lines] == list(range(1, 1501))
    bench.http.wait(lambda: bench.answered(200) == 1)


@pytest.mark.parametrize("settings", [{"max_body_bytes": 10_000_000, "max_characters": 10_000_000}])
def test_a_reader_who_does_not_read_is_left_at_the_deadline(bench: Bench):
    sock = stalled(bench, 3000, 1000, last="HOLD")
    bench.http.wait(lambda: bench.http.drain.in_flight == 1)
    bench.http.wait(lambda: bench.http.drain.in_flight == 0)
    assert bench.answered(504) == 1
    assert bench.engine.cancelled
    sock.close()


def test_metrics_tell_tokens_and_rows(bench: Bench):
    bench.post("one two three", stream=True)
    bench.post("one two")
    label = '{model="bart@1"}'
    assert bench.http.metric(f"tuneserve_source_tokens_total{label}") == 5
    assert bench.http.metric(f"tuneserve_generated_tokens_total{label}") == 5
    assert bench.http.metric(f"tuneserve_first_token_seconds_sum{label}") == 0.5
    assert bench.http.metric(f"tuneserve_token_seconds_sum{label}") == 0.008
    assert bench.answered(200) == 2
    asked = threading.Thread(target=lambda: bench.post("HOLD one"))
    asked.start()
    bench.http.wait(lambda: bench.http.metric(f"tuneserve_rows_running{label}") == 1)
    assert bench.http.metric(f"tuneserve_rows_waiting{label}") == 2
    assert bench.http.metric(f"tuneserve_kv_tokens{label}") == 30
    bench.engine.released.set()
    asked.join()


def test_a_drain_that_is_over_ends_streams_in_words(bench: Bench):
    body = {"inputs": "one two HOLD", "stream": True}
    with httpx.stream("POST", f"{bench.http.url}/models/bart", json=body, timeout=10) as answer:
        lines = answer.iter_lines()
        next(lines)
        bench.http.server.should_exit = True
        *_, data = [line for line in lines if line]
    assert json.loads(data.removeprefix("data: "))["error_type"] == "unavailable"


def hugging_face(bench: Bench) -> InferenceClient:
    return InferenceClient(model=f"{bench.http.url}/models/bart", timeout=10)


def test_hugging_faces_client_streams_texts_and_details(bench: Bench):
    client = hugging_face(bench)
    texts = list(client.text_generation("one two LINES EOS", stream=True))
    assert "".join(texts) == f"one two {LINES}"
    *tokens, last = client.text_generation("one two LINES EOS", stream=True, details=True, seed=3)
    assert [each.token.text for each in tokens] == ["one ", "two ", LINES]
    assert [each.index for each in tokens] == [1, 2, 3]
    assert last.token.special
    assert last.generated_text == f"one two {LINES}"
    assert last.details is not None
    assert (last.details.finish_reason, last.details.generated_tokens) == ("length", 4)
    assert (last.details.input_length, last.details.seed) == (4, 3)


def test_hugging_faces_async_client_streams(bench: Bench):
    async def ask() -> list[str]:
        async with AsyncInferenceClient(model=f"{bench.http.url}/models/bart") as client:
            stream = await client.text_generation("one LINES two", stream=True)
            return [text async for text in stream]

    assert asyncio.run(ask()) == ["one ", LINES, "two "]


def test_hugging_faces_client_raises_what_an_error_event_says(bench: Bench):
    client = hugging_face(bench)
    stream = client.text_generation("one two FULL", stream=True)
    assert next(stream) == "one "
    with pytest.raises(OverloadedError, match="try again in 7 s"):
        list(stream)
    with pytest.raises(UnknownError, match="engine stopped"):
        list(client.text_generation("one CRASH", stream=True))


def test_hugging_faces_client_gets_every_kind_of_answer(bench: Bench):
    client = hugging_face(bench)
    assert client.summarization("one two").summary_text == "one two "
    assert (
        client.translation("one two", src_lang="de", tgt_lang="en").translation_text == "one two "
    )
    assert client.text_generation("one two", max_new_tokens=5) == "one two "
    whole = client.text_generation("one two", details=True, seed=3, stop=["x"], do_sample=True)
    assert whole.generated_text == "one two "
    assert whole.details is not None
    assert (whole.details.generated_tokens, whole.details.seed) == (2, 3)
