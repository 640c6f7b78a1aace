"""Bulk jobs: every line answered in order, in flat memory, whatever the client does meanwhile."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.running import RunningServer, running

LINES = 200_000
LONG = "The quick brown fox jumps over the lazy dog. " * 40


def texts(number: int, first: int = 0) -> Iterator[bytes]:
    """A body of so many lines, in pieces."""
    for start in range(first, first + number, 500):
        lines = [
            json.dumps({"inputs": f"Where is parcel {place}?", "parameters": {"top_k": 1}})
            for place in range(start, min(start + 500, first + number))
        ]
        yield "".join(f"{line}\n" for line in lines).encode()


def bulk(server: RunningServer, body: Any, model: str = "intent", **headers: str) -> httpx.Response:
    url = f"{server.url}/models/{model}/bulk"
    return httpx.post(url, content=body, headers=headers, timeout=120)


def lines_of(answer: httpx.Response) -> list[Any]:
    return [json.loads(line) for line in answer.text.splitlines()]


class Raw:
    """A connection that sends and reads as it is told; chunked, as HTTP/1.1 has it."""

    def __init__(self, server: RunningServer, *, read_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if read_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, read_buffer)
        self.socket.settimeout(60)
        self.socket.connect(("127.0.0.1", server.port))
        self.socket.sendall(
            b"POST /models/intent/bulk HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
        )

    def send(self, piece: bytes) -> None:
        self.socket.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))

    def end(self) -> None:
        self.socket.sendall(b"0\r\n\r\n")

    def answer(self) -> http.client.HTTPResponse:
        response = http.client.HTTPResponse(self.socket, method="POST")
        response.begin()
        return response


def test_a_line_is_answered_as_a_request_would_be(server: RunningServer):
    bodies: list[Any] = [
        {"inputs": "Where is my order?", "parameters": {"top_k": 2}},
        "Thank you!",
        {"inputs": ["one", "two"]},
        {"inputs": {"text": "a", "text_pair": "b"}},
    ]
    answer = bulk(server, "\n".join(map(json.dumps, bodies)), **{"x-request-id": "mine"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert (answer.headers["x-request-id"], answer.headers["x-model-version"]) == (
        "mine",
        "intent@1",
    )
    for body, line in zip(bodies, lines_of(answer), strict=True):
        asked = body if isinstance(body, dict) else {"inputs": body}
        alone = httpx.post(f"{server.url}/models/intent", json=asked).json()
        assert [[one["label"] for one in each] for each in line] == [
            [one["label"] for one in each] for each in alone
        ]


@pytest.mark.parametrize("model", ["entities", "qa", "summary"])
def test_every_task_has_bulk_jobs(server: RunningServer, model: str):
    inputs: Any = {"question": "Where?", "context": "In Paris."} if model == "qa" else "In Paris."
    alone = server.ask(model, inputs).json()
    together = lines_of(bulk(server, (json.dumps({"inputs": inputs}) + "\n") * 3, model))
    assert len(together) == 3
    assert [type(line) for line in together] == [type(alone)] * 3


def test_a_line_that_fails_is_a_line_and_its_neighbours_are_answered(server: RunningServer):
    wrong: list[bytes] = [
        b"{",
        b'{"inputs": ""}',
        b'{"inputs": "a", "parameters": {"topk": 1}}',
        json.dumps({"inputs": LONG}).encode(),
        json.dumps({"inputs": ["a", LONG]}).encode(),
        json.dumps({"inputs": ["a"] * 257}).encode(),
        b'"' + b"a" * 2_000_001 + b'"',
        b"17",
    ]
    said = ["JSON", "inputs", "top_k", "128", "inputs[1]", "256", "2000000 bytes", "body"]
    answer = bulk(server, b"\n".join(b'"fine"\n\n' + line for line in wrong) + b'\n"fine"')
    lines = lines_of(answer)
    assert len(lines) == 2 * len(wrong) + 1
    assert all(isinstance(line, list) for line in lines[::2])
    for number, (line, sentence) in enumerate(zip(lines[1::2], said, strict=True)):
        assert set(line) == {"error", "error_type", "request_id", "line"}, line
        assert sentence in line["error"]
        assert line["line"] == 2 * number + 2
        assert line["request_id"] == answer.headers["x-request-id"]
    assert server.metric("tuneserve_bulk_lines_total") > 0


def test_what_is_wrong_with_the_job_itself_is_an_error_with_its_status(server: RunningServer):
    assert bulk(server, b'"a"', "nothing").status_code == 404
    assert bulk(server, b'"a"', **{"content-encoding": "gzip"}).status_code == 422
    empty = bulk(server, b"\n\n")
    assert (empty.status_code, empty.content) == (200, b"")


def test_a_client_may_wait_for_each_answer_before_the_next_line(server: RunningServer):
    raw = Raw(server)
    raw.send(b'"the first line"\n')
    answer = raw.answer()
    assert answer.status == 200
    for number in range(5):
        assert isinstance(json.loads(answer.readline()), list)
        raw.send(f'"line {number}"\n'.encode())
    raw.end()
    assert len(answer.read().splitlines()) == 1
    raw.socket.close()


def test_curl_uploads_a_file_and_reads_meanwhile(server: RunningServer, tmp_path: Path):
    assert shutil.which("curl"), "install curl"
    source = tmp_path / "in.ndjson"
    source.write_bytes(b"".join(texts(20_000)))
    url = f"{server.url}/models/intent/bulk"
    command = ["curl", "-sS", "-N", "-X", "POST", "-T", source, "-H", "Transfer-Encoding: chunked"]
    done = subprocess.run([*command, url], capture_output=True, timeout=60, check=True)
    assert done.stdout.count(b"\n") == 20_000


def test_many_short_texts_in_flat_memory_to_a_client_that_sends_all_before_it_reads(
    server: RunningServer,
):
    """Prints the memory of every process at its start, in the middle and at its most."""
    bulk(server, b"".join(texts(5_000)))  # warm
    processes = server.family()
    seen: list[list[int]] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.25):
            seen.append([one.memory_info().rss for one in processes])

    watching = threading.Thread(target=watch)
    watching.start()
    began = time.monotonic()
    url = f"{server.url}/models/intent/bulk"
    with httpx.stream("POST", url, content=texts(LINES), timeout=120) as answer:
        sent_s = time.monotonic() - began
        answered = sum(line.startswith('[[{"label"') for line in answer.iter_lines())
    seconds = time.monotonic() - began
    done.set()
    watching.join()
    assert answered == LINES
    early, most = seen[2], [max(column) for column in zip(*seen, strict=True)]
    print(f"{LINES} lines in {seconds:.1f} s, all sent after {sent_s:.1f} s")
    for process, first, highest in zip(processes, early, most, strict=True):
        print(f"{process.name()}: {first >> 20} MiB, at most {highest >> 20} MiB")
        assert highest - first < 24 << 20


def test_a_client_that_reads_slowly_loses_nothing_and_holds_the_job_up(server: RunningServer):
    number = 20_000
    raw = Raw(server, read_buffer=16_384)

    def send() -> None:
        for piece in texts(number):
            raw.send(piece)
        raw.end()

    sending = threading.Thread(target=send)
    sending.start()
    answer = raw.answer()
    read, lines = 0, []
    while line := answer.readline():
        lines.append(json.loads(line))
        read += len(line)
        if read < 40_000:
            time.sleep(0.005)
    sending.join()
    assert len(lines) == number
    last = server.ask("intent", f"Where is parcel {number - 1}?", top_k=1).json()
    assert lines[-1][0][0]["label"] == last[0][0]["label"]
    raw.socket.close()


def test_a_client_that_leaves_stops_the_job_within_a_second(server: RunningServer):
    raw = Raw(server)
    gone = threading.Event()

    def send() -> None:
        for piece in texts(LINES):
            if gone.is_set():
                return
            try:
                raw.send(piece)
            except OSError:
                return

    sending = threading.Thread(target=send)
    sending.start()
    answer = raw.answer()
    for _ in range(500):
        answer.readline()
    gone.set()
    raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    answer.close()
    raw.socket.close()
    left = time.monotonic()
    sending.join()
    while server.metric("tuneserve_waiting") or server.metric("tuneserve_in_flight"):
        assert time.monotonic() - left < 1
        time.sleep(0.02)
    counted = server.metric("tuneserve_bulk_lines_total")
    time.sleep(0.3)
    assert server.metric("tuneserve_bulk_lines_total") == counted


def test_others_pass_a_job_and_none_is_refused(server: RunningServer):
    url = f"{server.url}/models/intent/bulk"
    times, statuses = [], set()

    def run_job() -> None:
        with httpx.stream("POST", url, content=texts(15_000), timeout=120) as answer:
            for _ in answer.iter_raw():
                pass

    jobs = [threading.Thread(target=run_job) for _ in range(4)]
    for job in jobs:
        job.start()
    time.sleep(0.5)
    refused = bulk(server, b'"a"')
    while any(job.is_alive() for job in jobs) and len(times) < 60:
        began = time.monotonic()
        statuses.add(server.ask("intent", "Where is my order?").status_code)
        times.append(time.monotonic() - began)
    for job in jobs:
        job.join()
    assert statuses == {200}
    assert len(times) > 10
    assert sorted(times)[len(times) // 2] < 1
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")
    assert "4 bulk jobs run already" in refused.json()["error"]


def test_a_job_outlives_its_engine_and_ends_with_a_line_when_the_server_does(
    arguments: list[str], tmp_path: Path
):
    with running(tmp_path / "log", *arguments) as server:
        report = server.wait_ready()
        raw = Raw(server)
        raw.send(b'"before"\n')
        answer = raw.answer()
        assert isinstance(json.loads(answer.readline()), list)
        os.kill(report["engine_pids"][0], signal.SIGKILL)
        time.sleep(0.2)
        raw.send(b'"while there is no engine"\n')
        assert isinstance(json.loads(answer.readline()), list)
        server.process.send_signal(signal.SIGTERM)
        last = json.loads(answer.readline())
        assert (last["ended"], last["line"], last["error_type"]) == (True, 3, "unavailable")
        assert answer.read() == b""
        raw.socket.close()
        assert server.process.wait(20) == 0
