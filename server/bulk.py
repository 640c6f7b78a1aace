"""A bulk job: lines in, lines out, in order, in constant memory, behind everyone else.

The lines of a request's body become *chunks*. A few chunks are with the engine at a time, and no
line more is read while they are: so the caller's upload waits for the engine, and the engine for
the caller's reading. A chunk is one ``Work`` like a request with a list, but its rows' turn comes
later than that of requests which come in the next seconds, and it waits in no line of admission.

::

    body -> LineCutter -> chunks -> window -> engine -> answers in order -> Outbox -> caller
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from contracts.bodies import outcome_of
from contracts.errors import InvalidRequest, ServingError, Unavailable
from contracts.generation import GenerationBody
from contracts.schemas import Body
from server.callers import CLIENT_GONE, CallerGone
from server.errors import error_body
from server.exchange import Exchange
from server.lanes import Lane
from server.link import EngineLink
from server.messages import Done, Work
from server.ndjson import LineCutter
from server.outbox import ClientStalled, Outbox
from server.parsing import parse_any

NDJSON = "application/x-ndjson"

WINDOW = {Lane.ENCODING: (4, 128), Lane.GENERATION: (2, 8)}
"""Chunks with an engine, and lines of a chunk: enough to fill its batches while others travel."""

CHUNK_BYTES = 65_536
"""A chunk ends with the line that passes it."""

BEHIND_S = 10.0
"""By how much a row stands behind that of a request which comes at the same time; so a job never
starves, but waits for what comes within this time."""

PATIENCE = 10
"""How many times the time of a request a chunk may take before its lines are 504."""

ENGINE_WAIT_S = 60.0
"""How long a job waits for an engine that starts again."""

OUTBOX_BYTES = 1 << 20
LOOK_EVERY_S = 0.25


@dataclass(slots=True)
class Chunk:
    """Some lines that go to the engine together."""

    first: int
    """The number of its first line, from 1; blank lines do not count."""
    lines: list[Body | ServingError]
    counts: list[int]
    """How many items each line has."""
    link: EngineLink | None = None
    work_id: int = 0
    done: asyncio.Future[Done] | None = None
    """None where no line has anything to ask."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The job ends before its input does."""

    line: int
    """The first that has no answer."""
    error: ServingError


class Jobs:
    """The bulk jobs of one HTTP process."""

    def __init__(self, most: int) -> None:
        """Start with none.

        Args:
            most: that run at once.
        """
        self.running = 0
        self.most = most

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """While a job runs."""
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1


class BulkStream(Response):
    """The response of one job.

    Attributes:
        status_code: 200 on the wire; afterwards 499 when the caller left.
    """

    media_type = NDJSON

    def __init__(self, exchange: Exchange, jobs: Jobs) -> None:
        """Take over a request whose body is not read yet.

        Args:
            exchange: that has a model.
            jobs: to count among.
        """
        assert exchange.model is not None
        self._jobs = jobs
        self.status_code = 200
        self.background = None
        headers = {
            "x-request-id": exchange.request_id,
            "x-model-version": exchange.model.id,
            "cache-control": "no-cache",
            "x-accel-buffering": "no",
        }
        if exchange.front.settings.gzip:
            headers["content-encoding"] = "identity"  # a line must not wait for the next ones
        self.init_headers(headers)
        settings = exchange.front.settings
        self._exchange, self._front, self._model = exchange, exchange.front, exchange.model
        self._bodies = exchange.model.bodies
        self._lane = Lane.of(exchange.model.generates)
        self._most_chunks, self._most_lines = WINDOW[self._lane]
        self._window: asyncio.Queue[Chunk | Broken | None] = asyncio.Queue(self._most_chunks)
        self._outbox = Outbox(OUTBOX_BYTES, settings.bulk_spool_mb << 20)
        self._user_agent = exchange.request.headers.get("user-agent", "")
        self._sent = False
        self._asked: dict[int, EngineLink] = {}
        """Work that is with an engine."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: read, ask, answer, until the input ends, or the caller leaves."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        with self._jobs.one():
            await self._run(receive, send)

    async def _run(self, receive: Receive, send: Send) -> None:
        tasks = [
            asyncio.create_task(one)
            for one in (self._read(receive), self._answer(), self._send(send))
        ]
        try:
            await asyncio.gather(*tasks)
        except (CallerGone, ClientStalled):
            self.status_code = CLIENT_GONE
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for work_id, link in self._asked.items():
                link.cancel(work_id)
            self._outbox.close()

    # --- lines in

    async def _read(self, receive: Receive) -> None:
        """Read lines and hand them to the engine, a window of chunks at a time.

        Raises:
            CallerGone: before the last answer was sent.
        """
        cutter = LineCutter(self._front.settings.max_body_bytes)
        number, more = 1, True
        while more:
            message = await self._next(receive)
            if message is None:
                shutdown = Unavailable("The server is shutting down; send the rest elsewhere.")
                await self._window.put(Broken(number, shutdown))
                return
            more = message.get("more_body", False)
            for lines in self._chunks(cutter.feed(message.get("body", b""), last=not more)):
                chunk = self._chunk(number, lines)
                try:
                    await self._ask(chunk)
                except ServingError as error:
                    await self._window.put(Broken(number, error))
                    return
                await self._window.put(chunk)
                number += len(lines)
        await self._window.put(None)
        await self._next(receive, drains=False)  # the caller's end, or ours

    async def _next(self, receive: Receive, *, drains: bool = True) -> Message | None:
        """The next part of the body; None once the server shuts down."""
        asked = asyncio.ensure_future(receive())
        try:
            while not asked.done():
                await asyncio.wait({asked}, timeout=LOOK_EVERY_S)
                if drains and self._front.drain.begun:
                    return None
        finally:
            asked.cancel()
        message = asked.result()
        if message["type"] == "http.disconnect" and not self._sent:
            raise CallerGone
        return message

    def _chunks(self, lines: Iterator[bytes | ServingError]) -> Iterator[list[Any]]:
        """The lines of one piece, as many at a time as one chunk may have."""
        chunk: list[bytes | ServingError] = []
        size = 0
        for line in lines:
            chunk.append(line)
            size += len(line) if isinstance(line, bytes) else 0
            if len(chunk) == self._most_lines or size > CHUNK_BYTES:
                yield chunk
                chunk, size = [], 0
        if chunk:
            yield chunk

    def _chunk(self, first: int, lines: Sequence[bytes | ServingError]) -> Chunk:
        bodies = [self._parsed(line) for line in lines]
        counts = [0 if isinstance(body, ServingError) else len(body.items()) for body in bodies]
        return Chunk(first, bodies, counts)

    def _parsed(self, line: bytes | ServingError) -> Body | ServingError:
        """The body that a line is; a line that is a text alone is a body with that text."""
        if isinstance(line, ServingError):
            return line
        if line[:1] == b'"':
            line = b'{"inputs":' + line + b"}"
        try:
            body = parse_any(self._bodies, line)
            if isinstance(body, GenerationBody) and body.stream:
                return InvalidRequest("stream: a line is answered whole; leave it out.")
            self._front.admission.items(body.items())
        except ServingError as error:
            return error
        return body

    async def _ask(self, chunk: Chunk) -> None:
        """Send a chunk to the engine, or wait for one that starts again.

        Raises:
            Unavailable: there is none for too long.
        """
        items = [item for body in chunk.lines if isinstance(body, Body) for item in body.items()]
        if not items:
            return
        began = time.monotonic()
        while True:
            try:
                chunk.link, work = self._front.engines.choose(
                    self._lane, self._model.id, lambda id: self._work(id, items)
                )
                chunk.done = chunk.link.submit(work)
            except Unavailable:
                if self._front.drain.begun or time.monotonic() - began > ENGINE_WAIT_S:
                    raise
                await asyncio.sleep(LOOK_EVERY_S)
            else:
                chunk.work_id = work.id
                self._asked[work.id] = chunk.link
                return

    def _work(self, id: int, items: list[Any]) -> Work:
        settings, now = self._front.settings, time.monotonic()
        generates = self._lane is Lane.GENERATION
        seconds = settings.generation_timeout_s if generates else settings.timeout_s
        return Work(
            id,
            self._exchange.request_id,
            self._model.id,
            items,
            sent=now,
            deadline=now + PATIENCE * seconds,
            turn=now + seconds + BEHIND_S,
        )

    # --- lines out

    async def _answer(self) -> None:
        """Wait for each chunk in its turn, and write its lines."""
        while (chunk := await self._window.get()) is not None:
            if isinstance(chunk, Broken):
                await self._outbox.put(self._line(chunk.error, chunk.line, ended=True))
                break
            answers: Sequence[Any] = ()
            error: ServingError | None = None
            if chunk.done is not None:
                try:
                    done = await chunk.done
                    answers = done.answers
                    self._exchange.done = done
                except Unavailable as died:
                    error = died
                self._asked.pop(chunk.work_id, None)
            await self._outbox.put(self._lines(chunk, answers, error))
        self._outbox.end()

    def _lines(self, chunk: Chunk, answers: Sequence[Any], died: ServingError | None) -> bytes:
        """The answers of a chunk as lines."""
        written = []
        start = failed = 0
        for place, (body, count) in enumerate(zip(chunk.lines, chunk.counts, strict=True)):
            mine = answers[start : start + count]
            start += count
            outcome = self._outcome(body, mine, died)
            if isinstance(outcome, ServingError):
                failed += 1
                written.append(self._line(outcome, chunk.first + place))
            else:
                written.append(orjson.dumps(outcome, option=_OPTIONS))
        counted = self._front.metrics.bulk_lines
        for outcome, lines in (("answered", len(chunk.lines) - failed), ("failed", failed)):
            counted.labels(self._model.id, outcome).inc(lines)
        return b"".join(written)

    def _outcome(
        self, body: Body | ServingError, answers: Sequence[Any], died: ServingError | None
    ) -> Any:
        """What ``POST /models/{name}`` would answer to this line alone."""
        if isinstance(body, ServingError):
            return body
        if died is not None:
            return died
        return outcome_of(body, answers, self._user_agent)

    def _line(self, error: ServingError, number: int, *, ended: bool = False) -> bytes:
        told: dict[str, Any] = {**error_body(error, self._exchange.request_id), "line": number}
        return orjson.dumps(told | ({"ended": True} if ended else {}), option=_OPTIONS)

    async def _send(self, send: Send) -> None:
        while piece := await self._outbox.take():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        self._sent = True
        await send({"type": "http.response.body", "body": b"", "more_body": False})


_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY
