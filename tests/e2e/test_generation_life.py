"""Two lanes in one server: what happens to streams, and what classification notices of it."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.writers import MOST_TOKENS, tiny_writer
from tests.running import RunningServer, running

TEXT = "The parcel waits in the warehouse of Hamburg."
LONG = {"inputs": TEXT, "parameters": {"max_new_tokens": MOST_TOKENS}, "stream": True}


@pytest.fixture(scope="module")
def arguments(
    checkpoints: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, ...]:
    """Flags that serve a classifier and a BART."""
    folder = tmp_path_factory.mktemp("two")
    bart = tiny_writer(folder / "bart")
    return (
        f"--store={folder / 'store'}",
        "--backend=torch",
        "--precision=fp32",
        "--generation-nice=5",
        f"--model=bart={bart}",
        f"--model=intent={checkpoints['intent']}",
    )


@pytest.fixture(scope="module")
def server(
    arguments: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A server that heals: what a test kills is back before the next one begins."""
    with running(tmp_path_factory.mktemp("log") / "log", *arguments) as one:
        yield one


def pids(report: dict[str, Any]) -> tuple[int, int]:
    """Of the engine that classifies, and of the one that generates."""
    found = {model["name"]: model["engine_pid"] for model in report["models"]}
    assert report["engine_pids"] == [found["intent"], found["bart"]]
    return found["intent"], found["bart"]


@contextlib.contextmanager
def streaming(server: RunningServer) -> Iterator[Iterator[str]]:
    """The lines of a long stream that has begun."""
    with httpx.stream("POST", f"{server.url}/models/bart", json=LONG, timeout=60) as answer:
        assert answer.status_code == 200
        lines = answer.iter_lines()
        assert json.loads(next(lines).removeprefix("data: "))["index"] == 1
        yield lines


def last_event(lines: Iterator[str]) -> tuple[str, dict[str, Any]]:
    """Name and data of the event that ends a stream."""
    *_, name, data = [line for line in lines if line]
    return name, json.loads(data.removeprefix("data: "))


def test_each_lane_has_a_process_and_the_generating_one_steps_back(server: RunningServer):
    encoding, generating = pids(server.wait_ready())
    assert encoding != generating
    nice = psutil.Process(encoding).nice()
    assert psutil.Process(generating).nice() == min(19, nice + 5)
    assert server.ask("intent", TEXT).status_code == 200
    assert server.ask("bart", TEXT, max_new_tokens=3).status_code == 200


def test_a_caller_who_leaves_frees_his_rows(server: RunningServer):
    server.wait_ready()
    before = server.metric("tuneserve_generated_tokens_total")
    for _ in range(3):
        with streaming(server):
            pass  # and away
    left = time.monotonic()
    while server.metric("tuneserve_rows_running") or server.metric("tuneserve_waiting"):
        assert time.monotonic() - left < 1
        time.sleep(0.02)
    assert server.metric("tuneserve_generated_tokens_total") == before  # none came to its end


def test_a_killed_engine_ends_its_streams_in_words_and_classification_goes_on(
    server: RunningServer,
):
    encoding, generating = pids(server.wait_ready())
    with streaming(server) as lines:
        os.kill(generating, signal.SIGKILL)
        killed = time.monotonic()
        name, error = last_event(lines)
        assert time.monotonic() - killed < 2
    assert name == "event: error"
    assert error["error_type"] == "unavailable"
    assert server.ask("intent", TEXT).status_code == 200
    refused = server.ask("bart", TEXT)
    assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
    again = pids(server.wait_ready())
    assert again[0] == encoding
    assert again[1] != generating
    assert server.ask("bart", TEXT, max_new_tokens=3).status_code == 200


def test_a_killed_classifier_does_not_disturb_a_stream(server: RunningServer):
    encoding, generating = pids(server.wait_ready())
    with streaming(server) as lines:
        os.kill(encoding, signal.SIGKILL)
        name, last = last_event(lines)
    assert name == "event: done"
    assert last["details"]["generated_tokens"] == MOST_TOKENS
    assert pids(server.wait_ready())[1] == generating


def test_a_drain_lets_a_stream_end_and_refuses_new_ones(tmp_path: Path, arguments: tuple[str, ...]):
    with running(tmp_path / "log", *arguments) as server:
        server.wait_ready()
        with streaming(server) as lines:
            server.process.send_signal(signal.SIGTERM)
            name, last = last_event(lines)
        assert name == "event: done"
        assert last["usage"]["completion_tokens"] == MOST_TOKENS
        assert server.process.wait(30) == 0
