"""A change of what is served is made on every engine, or on none."""

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import InvalidRequest, ServingError, Unavailable, UnknownModel
from model_store.store import Store
from server.catalog import find_models, loading_status
from server.client import EnginePool
from server.hub import Connection, Hub
from server.lanes import Lane
from server.messages import ModelStatus, Ping, Pong, Serve, Served, Status
from server.rollout import Rollout
from server.roster import Roster
from server.settings import Settings
from tests.model_store.checkpoints import build_version


class Puppet(threading.Thread):
    """An engine that follows every order, unless it is told to refuse or to die."""

    def __init__(self, path: Path, models: tuple[ModelStatus, ...]) -> None:
        super().__init__(daemon=True)
        self.hub = Hub(path)
        self.models = models
        self.then = "follow"
        self.served: list[list[int]] = []
        """The versions of each order."""
        self.held = threading.Event()
        self.held.set()
        self.closing = threading.Event()

    def run(self) -> None:
        with suppress(EOFError):
            while not self.closing.is_set():
                for connection, message in self.hub.receive(0.005):
                    self.hear(connection, message)
                self.hub.flush()
        self.hub.close()

    def hear(self, connection: Connection, message: object) -> None:
        match message:
            case None:
                self.hub.post(connection, Status(os.getpid(), self.models))
            case Ping():
                self.hub.post(connection, Pong())
            case Serve():
                self.served.append([one.version for one in message.versions])
                self.held.wait(10)
                then, self.then = self.then, "follow"
                if then == "die":
                    raise EOFError
                if then == "refuse":
                    self.hub.post(connection, Served(message.id, InvalidRequest("Broken.")))
                    return
                self.models = ready(message.versions)
                self.hub.post(connection, Status(os.getpid(), self.models))
                self.hub.post(connection, Served(message.id))


def ready(versions: Any) -> tuple[ModelStatus, ...]:
    made = []
    for version in versions:
        status = loading_status(version)
        made.append(ModelStatus(status.name, status.version, status.aliases, status.task, "ready"))
    return tuple(made)


class Bench:
    """A store with two versions of a model, the first in production, and two engines."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "store")
        for _ in range(2):
            self.store.publish("intent", build_version)
        self.store.set_alias("intent", "production", 1)
        settings = Settings(store=self.store.root)
        found = find_models(settings)
        assert [one.id for one in found.versions] == ["intent@1"]
        self.roster = Roster(folder / "roster")
        self.roster.write(found)
        self.paths = [folder / f"{number}.sock" for number in range(2)]
        self.engines = [Puppet(path, ready(found.versions)) for path in self.paths]
        for engine in self.engines:
            engine.start()
        self.pool = EnginePool(
            {Lane.ENCODING: self.paths}, {Lane.ENCODING: found.statuses()}, lambda ran: None
        )
        self.rollout = Rollout(settings, self.roster, self.pool)

    def do(
        self, *changes: Coroutine[Any, Any, list[ModelStatus]], at_once: bool = False
    ) -> list[Any]:
        """Make changes with every engine connected; what comes of each."""

        async def scene() -> list[Any]:
            async with self.pool.running(60):
                while not all(link.status for link in self.pool.links):
                    await asyncio.sleep(0.005)
                if at_once:
                    return list(await asyncio.gather(*changes, return_exceptions=True))
                return [
                    (await asyncio.gather(change, return_exceptions=True))[0] for change in changes
                ]

        return asyncio.run(scene())

    @property
    def current(self) -> list[str]:
        return [one.id for one in self.roster.read().versions]

    @property
    def orders(self) -> list[list[list[int]]]:
        return [engine.served for engine in self.engines]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    one = Bench(tmp_path)
    yield one
    for engine in one.engines:
        engine.held.set()
        engine.closing.set()
        engine.join(10)


def test_every_engine_follows_and_the_roster_has_it(bench: Bench):
    [models] = bench.do(bench.rollout.load("intent@2"))
    assert [one.id for one in models] == ["intent@1", "intent@2"]
    assert bench.orders == [[[1, 2]], [[1, 2]]]
    assert bench.current == ["intent@1", "intent@2"]


@pytest.mark.parametrize("then", ["refuse", "die"])
def test_where_one_engine_does_not_follow_the_other_goes_back(bench: Bench, then: str):
    bench.engines[1].then = then
    [error] = bench.do(bench.rollout.alias("intent", "production", 2))
    assert isinstance(error, InvalidRequest if then == "refuse" else Unavailable)
    assert bench.orders[0] == [[1, 2], [1]]
    assert bench.current == ["intent@1"]
    assert bench.store.aliases("intent") == {"production": 1}


def test_an_alias_moves_when_its_version_is_there_and_the_old_one_leaves(bench: Bench):
    [models] = bench.do(bench.rollout.alias("intent", "production", 2))
    assert [(one.id, one.aliases) for one in models] == [("intent@2", ("production",))]
    assert bench.orders == [[[1, 2], [2]]] * 2
    assert bench.store.aliases("intent") == {"production": 2}
    assert bench.current == ["intent@2"]


def test_a_store_that_cannot_be_written_leaves_everything_as_it_was(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Store, "set_alias", refuse)
    [error] = bench.do(bench.rollout.alias("intent", "production", 2))
    assert "Read-only" in str(error)
    assert bench.orders == [[[1, 2], [1]]] * 2
    assert bench.current == ["intent@1"]


def test_nothing_is_sent_while_an_engine_is_away(bench: Bench):
    async def scene() -> None:
        with pytest.raises(Unavailable):
            await bench.rollout.load("intent@2")

    asyncio.run(scene())
    assert bench.orders == [[], []]
    assert bench.current == ["intent@1"]


def test_one_change_at_a_time(bench: Bench):
    for engine in bench.engines:
        engine.held.clear()
    threading.Timer(0.3, lambda: [engine.held.set() for engine in bench.engines]).start()
    both = (bench.rollout.load("intent@2"), bench.rollout.unload("intent"))
    first, second = bench.do(*both, at_once=True)
    assert [one.id for one in first] == ["intent@1", "intent@2"]
    assert isinstance(second, Unavailable)
    assert second.retry_after_s > 0


def test_what_is_not_there_is_named(bench: Bench):
    *errors, unrecorded = bench.do(
        bench.rollout.load("nothing"),
        bench.rollout.load("intent@9"),
        bench.rollout.unload("nothing"),
        bench.rollout.unload("intent@2"),
        bench.rollout.alias("intent", "production", 9),
        bench.rollout.rollback("intent", "production", None),
    )
    assert all(isinstance(error, UnknownModel) for error in errors), errors
    assert isinstance(unrecorded, ServingError)
    assert "name the version" in str(unrecorded)
    assert bench.orders == [[], []]


def test_an_unloaded_model_leaves_the_roster(bench: Bench):
    [models] = bench.do(bench.rollout.unload("intent"))
    assert models == []
    assert bench.orders == [[[]], [[]]]
    assert bench.current == []
