"""Models come and go while the engine answers: nothing is lost, and nothing half done."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import InvalidRequest, Unavailable
from contracts.schemas import ClassificationBody
from contracts.tasks import Task
from model_store.backends.base import BackendChoice
from model_store.copying import copy_checkpoint
from model_store.sources import open_source
from model_store.store import Store
from model_store.version import ModelVersion
from server.catalog import Found
from server.engine import Engine
from server.hub import Hub
from server.loader import Loader
from server.messages import Done, Serve, Served, Status
from server.shelf import Shelf
from tests.models import tiny_checkpoint
from tests.server.peer import Peer


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two good versions and one that is damaged."""
    root = tmp_path_factory.mktemp("models")
    store = Store(root / "store")
    for seed in (1, 2, 3):
        folder = tiny_checkpoint(root / str(seed), "bert", Task.TEXT_CLASSIFICATION, seed=seed)
        plain = open_source("intent", str(folder), cache_root=store.cache_root)
        store.publish("intent", lambda target, plain=plain: copy_checkpoint(plain, target))
    weights = store.root / "intent" / "3" / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-8] + b"\1" * 8)
    return store


class Bench:
    """An engine that serves version 1, and a peer."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.versions = {one.version: one for one in store.versions("intent")}
        self.hub = Hub(folder / "e.sock")
        self.engine = Engine(self.hub, {}, batch_tokens=512)
        self.peer = Peer(folder / "e.sock", "intent@1")
        loader = Loader(BackendChoice("fake", "auto", "cpu", 1))
        self.shelf = Shelf(self.engine, Found((self.versions[1],), ()), loader)
        self.heard: list[Any] = []
        self.until(lambda: "intent@1" in self.engine.pipelines)

    def turn(self) -> None:
        self.engine.step(wait_s=0.005)
        self.shelf.update()
        self.heard += self.peer.heard()

    def until(self, condition: Callable[[], object]) -> None:
        ends = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < ends, "it did not come about"
            self.turn()

    def serve(self, *versions: ModelVersion, name: str = "intent") -> Served:
        self.peer.send(Serve(7, name, versions))
        self.until(lambda: self.of(Served))
        served: Served = self.of(Served)[-1]
        self.heard = [each for each in self.heard if not isinstance(each, Served)]
        return served

    def ask(self, model: str = "intent@1") -> int:
        self.peer.model = model
        return self.peer.work(ClassificationBody(inputs="the parcel").items())

    def answer(self, number: int) -> Any:
        self.until(lambda: number in [each.id for each in self.of(Done)])
        return next(each for each in self.of(Done) if each.id == number).answers[0]

    def of(self, kind: type) -> list[Any]:
        return [each for each in self.heard if isinstance(each, kind)]

    def told(self) -> dict[str, tuple[str, ...]]:
        """The models and aliases of the last status."""
        return {one.id: one.aliases for one in self.of(Status)[-1].models}


@pytest.fixture
def bench(tmp_path: Path, store: Store) -> Iterator[Bench]:
    one = Bench(tmp_path, store)
    yield one
    one.peer.sock.close()
    one.hub.close()


def test_the_old_version_answers_while_the_new_one_is_loaded(bench: Bench):
    bench.peer.send(Serve(7, "intent", (bench.versions[2],)))
    bench.until(lambda: bench.shelf._order)
    assert isinstance(bench.answer(bench.ask()), list)
    bench.until(lambda: bench.of(Served))
    assert bench.told() == {"intent@2": ()}
    assert isinstance(bench.answer(bench.ask("intent@2")), list)


def test_a_request_that_was_on_its_way_is_answered_and_then_the_old_version_is_freed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("server.shelf.LINGER_S", 0.2)
    assert bench.serve(bench.versions[2]).error is None
    assert isinstance(bench.answer(bench.ask("intent@1")), list)
    bench.until(lambda: not bench.shelf.busy)
    assert list(bench.engine.pipelines) == ["intent@2"]


def test_a_version_that_comes_back_before_it_is_freed_is_not_loaded_again(bench: Bench):
    pipeline = bench.engine.pipelines["intent@1"]
    bench.serve()
    assert bench.told() == {}
    assert bench.serve(bench.versions[1]).error is None
    assert bench.told() == {"intent@1": ()}
    assert bench.engine.pipelines["intent@1"] is pipeline


def test_a_refused_version_changes_nothing(bench: Bench):
    served = bench.serve(bench.versions[2], bench.versions[3])
    assert isinstance(served.error, InvalidRequest)
    assert "intent@3 is refused" in str(served.error)
    assert "sha256 differs" in str(served.error)
    assert bench.told() == {"intent@1": ()}
    bench.until(lambda: not bench.shelf.busy)
    assert list(bench.engine.pipelines) == ["intent@1"]


def test_aliases_move_without_loading(bench: Bench, store: Store):
    bench.serve(bench.versions[1], bench.versions[2])
    store.set_alias("intent", "production", 2)
    first, second, *_ = store.versions("intent")
    assert bench.serve(first, second).error is None
    assert bench.told() == {"intent@1": (), "intent@2": ("production",)}


def test_other_models_stay_as_they_are(bench: Bench):
    assert bench.serve(name="nothing").error is None
    assert bench.told() == {"intent@1": ()}


def test_work_for_a_model_that_is_not_here_is_sent_back_and_the_engine_lives(bench: Bench):
    assert isinstance(bench.answer(bench.ask("intent@9")), Unavailable)
    assert isinstance(bench.answer(bench.ask("intent@1")), list)
