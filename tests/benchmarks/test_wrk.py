"""What wrk prints is read whole, and a server that fails is seen."""

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.texts import write_bodies
from benchmarks.wrk import drive, find_wrk, parse

OUTPUT = """Running 1s test @ http://127.0.0.1:8000/
  1 threads and 64 connections
Requests/sec:    100.00
RESULT {"requests": 100, "seconds": 2.0, "p50_ms": 1.5, "p90_ms": 2.0, "p99_ms": 3.0, \
"max_ms": 4.0, "errors": {"connect": 0, "read": 1, "write": 0, "timeout": 2, "status": 20}}
"""


def test_only_good_answers_count_for_the_rate_and_every_error_as_failed() -> None:
    load = parse(OUTPUT)
    assert load.per_second == 40.0
    assert load.failed == 23
    assert load.plain()["p99_ms"] == 3.0


def test_output_without_a_result_is_told_whole() -> None:
    with pytest.raises(RuntimeError, match="unable to connect"):
        parse("unable to connect to 127.0.0.1")


def test_without_wrk_the_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match="apt-get install wrk"):
        find_wrk()


class Echo(BaseHTTPRequestHandler):
    """Every other request is a 500."""

    protocol_version = "HTTP/1.1"
    seen: list[bytes] = []  # noqa: RUF012
    paths: list[str] = []  # noqa: RUF012

    def do_POST(self) -> None:
        self.paths.append(self.path)
        self.seen.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(500 if len(self.seen) % 2 == 0 else 200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Echo.seen.clear()
    Echo.paths.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/predict"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_wrk_sends_the_texts_in_turn_and_counts_failures(url: str, tmp_path: Path) -> None:
    bodies = write_bodies(["one", "two", "three"], tmp_path / "bodies")
    load = drive(url, bodies, clients=1, seconds=1)
    assert load.requests > 3
    assert abs(load.errors["status"] - load.requests / 2) <= 1
    # wrk takes the first one for a look at it, so the turn may begin anywhere.
    first = [one.decode() for one in Echo.seen[:3]]
    assert sorted(first) == sorted(bodies.read_text().splitlines())


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_a_line_may_name_the_path_that_it_goes_to(url: str, tmp_path: Path) -> None:
    bodies = write_bodies(["one"], tmp_path / "bodies", asked=["/models/other"])
    assert drive(url, bodies, clients=1, seconds=1).requests
    assert set(Echo.paths) == {"/models/other"}
    assert json.loads(Echo.seen[0]) == {"inputs": "one"}
