"""Lanes: each has its own engine, its own line and its own troubles."""

import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from contracts.errors import BackendFailure
from contracts.generation import GenerationItem
from contracts.tasks import Task
from model_store.manifest import Manifest
from model_store.version import ModelVersion
from server.catalog import Found, warm_up
from server.lanes import Lane
from server.messages import ModelStatus
from server.restart import RESTART_WITHIN_S, SOON_S, Restart
from tests.server.http_process import HttpProcess
from tests.server.stand_in import StandIn

BART = ModelStatus("bart", 1, (), "summarization", "loading", generates=True)
INTENT = ModelStatus("intent", 1, (), "text-classification", "loading")


class TwoLanes:
    """An HTTP process and its engines, which come and go as the test says."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.paths = {lane: [folder / f"{lane}.sock"] for lane in Lane}
        self.models = {Lane.ENCODING: (INTENT,), Lane.GENERATION: (BART,)}
        self.http = HttpProcess(self.paths, self.models, **settings)
        self.engines: dict[Lane, tuple[StandIn, threading.Thread]] = {}

    def start(self, lane: Lane) -> StandIn:
        ready = tuple(replace(model, state="ready") for model in self.models[lane])
        engine = StandIn(self.paths[lane][0], ready)
        thread = threading.Thread(target=engine.run, daemon=True)
        thread.start()
        self.engines[lane] = engine, thread
        self.http.wait(lambda: self.http.pool.waiting(lane) == 0)
        self.http.wait(lambda: all(model.state == "ready" for model in self.known(lane)))
        return engine

    def stop(self, lane: Lane) -> None:
        engine, thread = self.engines.pop(lane)
        engine.closing.set()
        thread.join(5)
        self.http.wait(lambda: all(model.state == "loading" for model in self.known(lane)))

    def known(self, lane: Lane) -> list[ModelStatus]:
        generates = lane is Lane.GENERATION
        return [model for model in self.http.pool.models if model.generates is generates]

    def ask(self, model: str, text: str) -> httpx.Response:
        return httpx.post(f"{self.http.url}/models/{model}", json={"inputs": text}, timeout=20)

    def later(self, model: str, text: str) -> tuple[threading.Thread, list[httpx.Response]]:
        answers: list[httpx.Response] = []
        asked = threading.Thread(target=lambda: answers.append(self.ask(model, text)))
        asked.start()
        return asked, answers


@pytest.fixture
def settings() -> dict[str, Any]:
    return {}


@pytest.fixture
def two(tmp_path: Path, settings: dict[str, Any]) -> Iterator[TwoLanes]:
    one = TwoLanes(tmp_path, **settings)
    with one.http.running():
        yield one
        for lane in list(one.engines):
            one.stop(lane)


def test_models_are_known_while_their_engines_start(two: TwoLanes):
    for name in ("bart", "intent"):
        answer = two.ask(name, "one")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert two.ask("other", "one").status_code == 404


def test_one_lane_answers_while_the_other_starts_and_only_both_make_ready(two: TwoLanes):
    engine = two.start(Lane.ENCODING)
    assert two.ask("intent", "one two").status_code == 200
    assert two.ask("bart", "one two").status_code == 503
    report = httpx.get(f"{two.http.url}/readyz")
    assert (report.status_code, report.json()["engine_pids"]) == (503, [os.getpid(), None])
    two.start(Lane.GENERATION)
    assert two.ask("bart", "one two").status_code == 200
    assert [one.model for one in engine.works] == ["intent@1"]
    report = httpx.get(f"{two.http.url}/readyz")
    assert (report.status_code, report.json()["engine_pids"]) == (200, [os.getpid()] * 2)
    assert {model["name"] for model in report.json()["models"]} == {"bart", "intent"}


def test_a_crash_of_one_lane_is_felt_in_that_lane_only(two: TwoLanes):
    encoding, _ = two.start(Lane.ENCODING), two.start(Lane.GENERATION)
    waits, answers = two.later("intent", "HOLD one")
    two.http.wait(lambda: two.http.pool.waiting(Lane.ENCODING) == 1)
    assert two.ask("bart", "one CRASH").status_code == 503
    states = {model.name: model.state for model in two.http.pool.models}
    assert states == {"intent": "ready", "bart": "loading"}
    assert two.ask("intent", "one two").status_code == 200
    assert two.ask("bart", "one two").status_code == 503
    assert two.http.metric("tuneserve_models_loaded") == 1
    encoding.released.set()
    waits.join()
    assert [answer.status_code for answer in answers] == [200]
    two.start(Lane.GENERATION)
    assert two.ask("bart", "one two").status_code == 200


@pytest.mark.parametrize("settings", [{"max_waiting": 2, "max_generation_waiting": 1}])
def test_each_lane_has_its_own_waiting_line(two: TwoLanes):
    engines = [two.start(lane) for lane in Lane]
    waits = [two.later("bart", "HOLD one")]
    two.http.wait(lambda: two.http.pool.waiting(Lane.GENERATION) == 1)
    assert two.ask("bart", "one").status_code == 429
    waits += [two.later("intent", "HOLD one") for _ in range(2)]
    two.http.wait(lambda: two.http.pool.waiting(Lane.ENCODING) == 2)
    assert two.ask("intent", "one").status_code == 429
    for engine in engines:
        engine.released.set()
    for thread, answers in waits:
        thread.join()
        assert answers[0].status_code == 200


@pytest.mark.parametrize("settings", [{"timeout_s": 0.1, "generation_timeout_s": 2}])
def test_each_lane_has_its_own_deadline(two: TwoLanes):
    for lane in Lane:
        two.start(lane)
    seconds = {
        name: two.ask(name, "HOLD one").elapsed.total_seconds() for name in ("intent", "bart")
    }
    assert 0.1 <= seconds["intent"] < 0.5
    assert 0.6 <= seconds["bart"] < 5


def version(name: str, architecture: str, task: Task) -> ModelVersion:
    manifest = Manifest(task=task, architecture=architecture, labels=[], max_tokens=8)
    return ModelVersion(name, 1, Path(), manifest)


ENCODER = version("intent", "BertForSequenceClassification", Task.TEXT_CLASSIFICATION)
EXTRACT = version("extract", "BertForTokenClassification", Task.SUMMARIZATION)
WRITER = version("bart", "BartForConditionalGeneration", Task.SUMMARIZATION)
MARIAN = version("marian", "MarianMTModel", Task.TRANSLATION)
REFUSED = ModelStatus("bad", 1, (), "", "refused")


@pytest.mark.parametrize(
    ("versions", "lanes"),
    [
        ((ENCODER, EXTRACT), {Lane.ENCODING: ["intent", "extract"]}),
        ((WRITER, MARIAN), {Lane.GENERATION: ["bart", "marian"]}),
        ((WRITER, ENCODER), {Lane.ENCODING: ["intent"], Lane.GENERATION: ["bart"]}),
        ((), {Lane.ENCODING: []}),
    ],
)
def test_only_lanes_with_models_get_an_engine(
    versions: tuple[ModelVersion, ...], lanes: dict[Lane, list[str]]
):
    found = Found(versions, (REFUSED,)).lanes()
    assert {lane: [one.name for one in each.versions] for lane, each in found.items()} == lanes
    told = [status for each in found.values() for status in each.statuses()]
    assert [status.name for status in told if status.state == "refused"] == ["bad"]
    assert {one.name: one.generates for one in told if one.state == "loading"} == {
        one.name: one in (WRITER, MARIAN) for one in versions
    }


@pytest.mark.parametrize("broken", [False, True])
def test_a_model_that_generates_is_warmed_with_two_tokens(broken: bool):
    ran: list[list[GenerationItem]] = []

    def pipeline(items: list[GenerationItem]) -> list[object]:
        ran.append(items)
        return [BackendFailure() if broken else {"generated_text": "x"}] * len(items)

    pipeline.handler = SimpleNamespace(manifest=WRITER.manifest)  # type: ignore[attr-defined]
    if broken:
        with pytest.raises(BackendFailure):
            warm_up(pipeline)
        return
    warm_up(pipeline)
    assert [len(items) for items in ran] == [1, 4]
    assert {item.parameters.max_new_tokens for items in ran for item in items} == {2}


def test_an_engine_that_keeps_dying_starts_ever_later(monkeypatch: pytest.MonkeyPatch):
    now = 1000.0
    monkeypatch.setattr("server.restart.time.monotonic", lambda: now)
    one = Restart()
    assert one.due_s == math.inf
    waits = []
    for _ in range(9):
        now += 1
        one.died()
        waits.append(one.due_s)
        now += one.due_s
        one.started()
    assert tuple(waits) == (*RESTART_WITHIN_S[1:], 30.0, 30.0)
    now += SOON_S + 1
    one.died()
    assert one.due_s == 0


def test_the_generating_engine_steps_back_on_a_cpu(tmp_path: Path):
    """In a process of its own: a process cannot become less nice again."""
    script = f"""
import json, os, sys
from pathlib import Path
from server import engine_process
from server.catalog import Found
from server.settings import Settings

def stop(*_):
    print(json.dumps(os.nice(0)))
    sys.exit()

engine_process._open_hub = stop
run = getattr(engine_process, sys.argv[1])
run(Settings(generation_nice=7), Found((), ()), Path({str(tmp_path)!r}) / "x.sock", sys.argv[2])
"""

    def niceness(run: str, device: str) -> int:
        command = [sys.executable, "-c", script, run, device]
        return int(json.loads(subprocess.check_output(command)))

    before = os.nice(0)
    assert niceness("run_generation", "cpu") == min(19, before + 7)
    assert niceness("run_generation", "cuda:0") == before
    assert niceness("run_encoding", "cpu") == before
