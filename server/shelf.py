"""The models of one engine: those that answer, those on their way, and those that leave.

At first the engine loads what it was started with; each model answers as soon as it is there.
Later ``Serve`` replaces the versions of one model: all new ones are loaded while the old ones
answer, then the engine changes over between two steps, and an old one is freed when its last
request is answered. If a new version is refused nothing changes. Orders are worked off one after
the other.
"""

import gc
import logging
import os
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import Any, Protocol

from contracts.errors import InvalidRequest
from server.catalog import Found, loading_status
from server.hub import Connection, Hub
from server.loader import Loaded, Loader
from server.messages import ModelStatus, Serve, Served, Status

logger = logging.getLogger(__name__)

LINGER_S = 1.0
"""How long a model that leaves must have been idle: until then every HTTP process has read that it
is gone, and no request is on its way to it."""


@dataclass(slots=True)
class Leaving:
    """A model that is told to nobody any more."""

    status: ModelStatus
    seen: float
    """When it was last at work, on the monotonic clock."""


class ShelfEngine(Protocol):
    """What the shelf wants of an engine."""

    hub: Hub
    orders: deque[tuple[Connection, Serve]]
    """What HTTP processes want to be served; the oldest first."""
    pipelines: dict[str, Any]
    """By ``name@version``."""

    def announce(self, status: Status) -> None:
        """Tell every HTTP process how the models are."""
        ...

    def works_on(self, model: str) -> bool:
        """Whether a request of that model is not answered yet."""
        ...

    def forget(self, model: str) -> Any:
        """Give up a model that nothing works on; returns its pipeline."""
        ...


class Shelf:
    """See the module; ``update`` is called between two steps of the engine."""

    def __init__(self, engine: ShelfEngine, found: Found, loader: Loader) -> None:
        """Begin to load what was found."""
        self._engine, self._loader = engine, loader
        self._statuses = {version.id: loading_status(version) for version in found.versions}
        self._refused = list(found.refused)
        self._order: tuple[Connection, Serve] | None = None
        self._fresh: list[Loaded] = []
        """What the current order has loaded."""
        self._leaving: dict[str, Leaving] = {}
        self._frozen = False
        self._announce()
        for version in found.versions:
            loader.load(version)

    @property
    def busy(self) -> bool:
        """Whether ``update`` is wanted soon, though nothing may come over the sockets."""
        return bool(self._loader.busy or self._order or self._engine.orders or self._leaving)

    @property
    def refused(self) -> bool:
        """Whether a model that the engine was started with could not be loaded."""
        return any(status.state == "refused" for status in self._statuses.values())

    def update(self) -> None:
        """Take what was loaded, change over, let go."""
        for loaded in self._loader.take():
            if self._order is not None:
                self._fresh.append(loaded)
            else:
                self._put(loaded)
                self._announce()
        if not self._loader.busy:
            if self._order is None and self._engine.orders:
                self._begin(*self._engine.orders.popleft())
            elif self._order is not None:
                self._change_over(*self._order)
            elif not self._frozen:
                gc.freeze()  # the models' objects stay: collections need not walk them
                self._frozen = True
        self._let_go()

    def _begin(self, connection: Connection, serve: Serve) -> None:
        self._order = (connection, serve)
        for version in serve.versions:
            if version.id not in self._engine.pipelines:
                self._loader.load(version)
        if not self._loader.busy:
            self._change_over(connection, serve)

    def _change_over(self, connection: Connection, serve: Serve) -> None:
        """Everything that the order wants is loaded: serve it, and only it, under that name."""
        fresh, self._fresh, self._order = self._fresh, [], None
        self._frozen = False
        refused = [loaded.status for loaded in fresh if loaded.pipeline is None]
        if refused:
            self._free([one.pipeline for one in fresh if one.pipeline is not None])
            reasons = "; ".join(f"{status.id} is refused: {status.reason}" for status in refused)
            self._reply(connection, Served(serve.id, InvalidRequest(reasons)))
            return
        self._refused = [one for one in self._refused if one.name != serve.name]
        known = {id: one.status for id, one in self._leaving.items()}
        known |= {id: one for id, one in self._statuses.items() if one.name == serve.name}
        for id in known:
            self._statuses.pop(id, None)
        for loaded in fresh:
            self._put(loaded)
        for version in serve.versions:
            status = self._statuses.get(version.id) or known[version.id]
            self._statuses[version.id] = replace(status, aliases=version.aliases)
            self._leaving.pop(version.id, None)
        for id, status in known.items():
            if id not in self._statuses and id in self._engine.pipelines:
                self._leaving.setdefault(id, Leaving(status, time.monotonic()))
        self._announce()
        versions = [version.version for version in serve.versions]
        logger.info("models changed", extra={"model": serve.name, "versions": versions})
        self._reply(connection, Served(serve.id))

    def _let_go(self) -> None:
        """Free the models that nobody has asked for a while."""
        now = time.monotonic()
        wanted = {version.id for version in self._order[1].versions} if self._order else set()
        for id, one in list(self._leaving.items()):
            if self._engine.works_on(id) or id in wanted:
                one.seen = now
            elif now - one.seen > LINGER_S:
                del self._leaving[id]
                self._free([self._engine.forget(id)])

    def _put(self, loaded: Loaded) -> None:
        self._statuses[loaded.status.id] = loaded.status
        if loaded.pipeline is not None:
            self._engine.pipelines[loaded.status.id] = loaded.pipeline

    def _free(self, pipelines: list[Any]) -> None:
        if pipelines:
            self._loader.free(pipelines)

    def _announce(self) -> None:
        models = (*self._statuses.values(), *self._refused)
        self._engine.announce(Status(os.getpid(), models))

    def _reply(self, connection: Connection, served: Served) -> None:
        self._engine.hub.post(connection, served)
        self._engine.hub.flush()
