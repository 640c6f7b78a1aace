"""The connection to one engine process, as an HTTP process holds it.

End of file on a link is how a crash shows: every request that waits on it is answered 503 at once,
and the link connects again as soon as the next engine listens. No request is ever sent twice.
"""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from contracts.errors import Unavailable
from server.lanes import Lane
from server.messages import (
    BatchRan,
    Cancel,
    Chunk,
    Decoding,
    Done,
    Ping,
    Pong,
    Serve,
    Served,
    Status,
    Unpacker,
    Work,
    pack,
)

logger = logging.getLogger(__name__)

PING_EVERY_S = 1.0
CONNECT_EVERY_S = 0.05


class TokenStream:
    """What comes back for a streamed ``Work``: its chunks, and at last its ``Done``.

    It holds what was not taken yet. That is bounded by the answer: a reader who stops reading
    leaves here one ``Chunk`` (some 200 bytes) per token that is generated within his deadline.
    """

    def __init__(self, done: asyncio.Future[Done]) -> None:
        self.done = done
        self._chunks: list[Chunk] = []
        self._news = asyncio.Event()
        done.add_done_callback(lambda _: self._news.set())

    def put(self, chunk: Chunk) -> None:
        """Add the next chunk."""
        self._chunks.append(chunk)
        self._news.set()

    async def take(self) -> list[Chunk] | Done:
        """Wait for news: all chunks that are there, or, when no more will come, the end.

        Raises:
            Unavailable: the engine died; after the last chunk that it sent.
        """
        await self._news.wait()
        if not self._chunks:
            return self.done.result()
        chunks, self._chunks = self._chunks, []
        if not self.done.done():
            self._news.clear()
        return chunks


class EngineLink(asyncio.Protocol):
    """The connection to one engine process."""

    def __init__(self, lane: Lane, path: Path, on_batch: Callable[[BatchRan], None]) -> None:
        self.lane = lane
        self.path = path
        self.status: Status | None = None
        self.waiting: dict[int, asyncio.Future[Done]] = {}
        self.ready: frozenset[str] = frozenset()
        """The models that the engine answers, by ``name@version``."""
        self.decoding: dict[str, Decoding] = {}
        """By model; empty while no engine is there."""
        self._streams: dict[int, TokenStream] = {}
        self._serving: dict[int, asyncio.Future[Served]] = {}
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

    def serve(self, order: Serve) -> asyncio.Future[Served]:
        """Send an order; the future fails with ``Unavailable`` when the engine dies."""
        if self._transport is None:
            raise Unavailable("The engine is starting; try again in a moment.")
        future: asyncio.Future[Served] = asyncio.get_running_loop().create_future()
        self._serving[order.id] = future
        self._transport.write(pack(order))
        return future

    def stream(self, work: Work) -> TokenStream:
        """Send work that is to be streamed."""
        stream = TokenStream(self.submit(work))
        self._streams[work.id] = stream
        return stream

    def cancel(self, work_id: int) -> None:
        """Forget work that nobody waits for."""
        self._streams.pop(work_id, None)
        if self.waiting.pop(work_id, None) is not None and self._transport is not None:
            self._transport.write(pack(Cancel(work_id)))

    async def run(self, silence_s: float) -> None:
        """Stay connected for ever; end an engine that is silent for ``silence_s`` seconds."""
        loop = asyncio.get_running_loop()
        try:
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
        finally:
            if self._transport is not None:
                leaving, self._transport = self._transport, None
                leaving.close()

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
                case Chunk():
                    if (stream := self._streams.get(message.id)) is not None:
                        stream.put(message)
                case Done():
                    self._streams.pop(message.id, None)
                    future = self.waiting.pop(message.id, None)
                    if future is not None and not future.done():
                        future.set_result(message)
                case BatchRan():
                    self._on_batch(message)
                case Decoding():
                    self.decoding[message.model] = message
                case Status():
                    self.status = message
                    ready = (model.id for model in message.models if model.state == "ready")
                    self.ready = frozenset(ready)
                case Served():
                    served = self._serving.pop(message.id, None)
                    if served is not None and not served.done():
                        served.set_result(message)
                case Pong():
                    pass

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the engine is gone; nobody waits for it any longer."""
        if self._transport is not None:  # else we left
            logger.warning("the engine is gone", extra={"engine_pid": self.pid, "lane": self.lane})
        self._transport, self.status, self.ready = None, None, frozenset()
        self.decoding, self._streams = {}, {}
        waiting: list[asyncio.Future[Any]] = [*self.waiting.values(), *self._serving.values()]
        self.waiting, self._serving = {}, {}
        for future in waiting:
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
