"""The HTTP side's ends of the sockets: one link per engine, and the pool that picks one.

End of file on a link is how a crash shows: every request that waits on it is answered 503 at once,
and the link connects again as soon as the next engine listens. No request is ever sent twice.
"""

import asyncio
import itertools
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from contracts.errors import Unavailable
from server.messages import (
    BatchRan,
    Cancel,
    Done,
    ModelStatus,
    Ping,
    Pong,
    Status,
    Unpacker,
    Work,
    pack,
)

logger = logging.getLogger(__name__)

PING_EVERY_S = 1.0
CONNECT_EVERY_S = 0.05


class EngineLink(asyncio.Protocol):
    """The connection to one engine process."""

    def __init__(self, path: Path, on_batch: Callable[[BatchRan], None]) -> None:
        self.path = path
        self.status: Status | None = None
        self.waiting: dict[int, asyncio.Future[Done]] = {}
        self._on_batch = on_batch
        self._transport: asyncio.Transport | None = None
        self._unpacker = Unpacker()
        self._closed = asyncio.Event()
        self._heard = 0.0

    @property
    def pid(self) -> int | None:
        """The engine's process id, or None while it is not there."""
        return self.status.pid if self.status else None

    def submit(self, work: Work) -> asyncio.Future[Done]:
        """Send work; the future fails with ``Unavailable`` when the engine dies."""
        if self._transport is None:
            raise Unavailable("The engine is starting; try again in a moment.")
        future: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self.waiting[work.id] = future
        self._transport.write(pack(work))
        return future

    def cancel(self, work_id: int) -> None:
        """Forget work that nobody waits for."""
        if self.waiting.pop(work_id, None) is not None and self._transport is not None:
            self._transport.write(pack(Cancel(work_id)))

    async def run(self, silence_s: float) -> None:
        """Stay connected for ever; end an engine that is silent for ``silence_s`` seconds."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                await loop.create_unix_connection(lambda: self, str(self.path))
            except OSError:
                await asyncio.sleep(CONNECT_EVERY_S)
                continue
            while not self._closed.is_set():
                self._beat(silence_s)
                try:
                    await asyncio.wait_for(self._closed.wait(), PING_EVERY_S)
                except TimeoutError:
                    continue

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the engine listens."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._unpacker = Unpacker()
        self._closed.clear()
        self._heard = time.monotonic()

    def data_received(self, data: bytes) -> None:
        """asyncio: messages from the engine."""
        self._heard = time.monotonic()
        for message in self._unpacker.feed(data):
            match message:
                case Done():
                    future = self.waiting.pop(message.id, None)
                    if future is not None and not future.done():
                        future.set_result(message)
                case BatchRan():
                    self._on_batch(message)
                case Status():
                    self.status = message
                case Pong():
                    pass

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the engine is gone; nobody waits for it any longer."""
        logger.warning("the engine is gone", extra={"engine_pid": self.pid})
        self._transport, self.status = None, None
        waiting, self.waiting = self.waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(
                    Unavailable(
                        "The engine stopped while it worked on this request; send it again."
                    )
                )
        self._closed.set()

    def _beat(self, silence_s: float) -> None:
        if self._transport is not None:
            self._transport.write(pack(Ping()))
        if self.pid is not None and time.monotonic() - self._heard > silence_s:
            logger.error("the engine is silent and is ended", extra={"engine_pid": self.pid})
            os.kill(self.pid, signal.SIGKILL)


class EnginePool:
    """All engines of this server, alike: each holds every model."""

    def __init__(self, paths: list[Path], on_batch: Callable[[BatchRan], None]) -> None:
        self.links = [EngineLink(path, on_batch) for path in paths]
        self._ids = itertools.count(1)
        self._seen: tuple[ModelStatus, ...] = ()

    @asynccontextmanager
    async def running(self, silence_s: float) -> AsyncIterator[None]:
        """Keep every link connected; see ``EngineLink.run``."""
        tasks = [asyncio.create_task(link.run(silence_s)) for link in self.links]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def waiting(self) -> int:
        """Requests that are with the engines."""
        return sum(len(link.waiting) for link in self.links)

    @property
    def models(self) -> tuple[ModelStatus, ...]:
        """The models as the first engine that is there sees them; loading, while none is."""
        status = next((link.status for link in self.links if link.status), None)
        if status is not None:
            self._seen = status.models
            return self._seen
        return tuple(
            model if model.state == "refused" else replace(model, state="loading")
            for model in self._seen
        )

    @property
    def ready(self) -> bool:
        """Whether every engine is there with no model still loading."""
        return all(
            link.status is not None
            and link.status.models
            and all(model.state != "loading" for model in link.status.models)
            for link in self.links
        )

    def submit(self, build: Callable[[int], Work]) -> tuple[EngineLink, int, Any]:
        """Send work to the engine with the least to do.

        Returns:
            The link, the work's id and the future of its ``Done``.

        Raises:
            Unavailable: no engine is there.
        """
        up = [link for link in self.links if link.status is not None]
        if not up:
            raise Unavailable("The engine is starting; try again in a moment.")
        link = min(up, key=lambda each: len(each.waiting))
        work = build(next(self._ids))
        return link, work.id, link.submit(work)
