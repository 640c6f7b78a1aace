"""Answers as server-sent events, token by token, of models that generate.

The dialect is text-generation-inference's, which the clients of Hugging Face and LangChain read::

    data: {"index":1,"token":{"id":42,"text":"The","logprob":-0.1,"special":false},
           "generated_text":null,"details":null}

    event: done
    data: {"index":2,"token":{...},"generated_text":"The end","details":{...},"usage":{...},...}

The last token comes together with the whole answer. Something that goes wrong before the first
token is an ordinary error with its status; later it is ``event: error`` with the same JSON, and the
stream ends.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from contracts.errors import (
    BackendFailure,
    DeadlineExceeded,
    InvalidRequest,
    ServingError,
    Unavailable,
)
from contracts.generation import Generated, GenerationBody, StreamEvent
from contracts.schemas import Body
from server.callers import CLIENT_GONE, TOO_LATE, first_of
from server.errors import error_body
from server.exchange import Exchange, raise_first
from server.link import EngineLink, TokenStream
from server.messages import Chunk, Done, ModelStatus, Work

logger = logging.getLogger(__name__)

EVENT_STREAM = "text/event-stream"

LAST_WORD_S = 1.0
"""How long a reader who does not read may hold up the event that ends his stream."""

_LINE_BREAKS = {
    line_break.encode(): f"\\u{ord(line_break):04x}".encode()
    for line_break in ("\u0085", "\u2028", "\u2029")
}
"""Legal in JSON, but Python's clients cut the stream into lines at these too."""


def streamed(items: list[Any]) -> list[Any]:
    """The one item of a stream, with the details that its last event tells."""
    (item,) = items
    return [replace(item, parameters=item.parameters.model_copy(update={"details": True}))]


def wants_events(request: Request, body: Body, model: ModelStatus) -> bool:
    """Whether the caller asked for a stream: ``stream`` in the body decides, else ``Accept``.

    Raises:
        InvalidRequest: it was asked of a model that does not generate, or for several inputs.
    """
    accepted = request.headers.get("accept", "").lower()
    wanted = EVENT_STREAM in accepted and "application/json" not in accepted
    if not isinstance(body, GenerationBody):
        if wanted:
            raise InvalidRequest(
                f"{model.name} does not generate text, so there is nothing to stream:"
                " accept application/json."
            )
        return False
    wanted = wanted if body.stream is None else body.stream
    if wanted and len(body.items()) > 1:
        raise InvalidRequest(
            "inputs: a stream answers one text; send one, or several without stream."
        )
    return wanted


async def open_stream(exchange: Exchange, items: list[Any]) -> "EventStream":
    """Send the one item of a stream to the engine, and wait for its first token.

    Raises:
        CallerGone: the caller left before the first token.
        DeadlineExceeded: there was no token in time.
        Unavailable: the engine died.
        ServingError: the work failed before its first token; or see ``Exchange.work``.
    """
    link, work = exchange.work(items, stream=True)
    stream = link.stream(work)
    handed_on = False
    try:
        first = await first_of(
            asyncio.ensure_future(stream.take()), exchange.request, work.deadline
        )
        if isinstance(first, Done):
            exchange.done = first
            raise_first(first.answers)
            raise BackendFailure
        handed_on = True
        return EventStream(exchange, link, work, stream, first)
    finally:
        if not handed_on:
            link.cancel(work.id)


class EventStream(Response):
    """The response of one streamed request.

    The engine's last word becomes the exchange's ``done``.

    Attributes:
        status_code: 200 on the wire; afterwards what the stream ended with, for metrics and log.
    """

    media_type = EVENT_STREAM

    def __init__(
        self,
        exchange: Exchange,
        link: EngineLink,
        work: Work,
        stream: TokenStream,
        first: list[Chunk],
    ) -> None:
        """Take over work whose first token is there; ``__call__`` ends it in any case."""
        self.status_code = 200
        self.background = None
        self.init_headers(
            {
                "x-request-id": work.request_id,
                "x-model-version": work.model,
                "cache-control": "no-cache",
                "x-accel-buffering": "no",
            }
        )
        self._exchange = exchange
        self._link, self._work, self._stream, self._first = link, work, stream, first
        self._gone = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: the events, until the answer ends, fails, is late, or the caller leaves."""
        watching = asyncio.create_task(self._watch(receive))
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        try:
            async with asyncio.timeout(self._work.deadline - time.monotonic()):
                await self._send_tokens(send)
        except TimeoutError:
            await self._fail(send, DeadlineExceeded(TOO_LATE))
        except ServingError as error:
            await self._fail(send, error)
        except asyncio.CancelledError:
            if self._gone:
                self.status_code = CLIENT_GONE
                return
            await self._fail(send, Unavailable("The server is shutting down; send it elsewhere."))
            raise
        except Exception:
            logger.exception("a stream failed", extra={"request_id": self._work.request_id})
            await self._fail(send, ServingError("Internal error."))
        finally:
            watching.cancel()
            self._link.cancel(self._work.id)

    async def _watch(self, receive: Receive) -> None:
        """Notice at once that the caller is gone, and wake ``_send_tokens``."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._stream.done.cancel()

    async def _send_tokens(self, send: Send) -> None:
        """Send each token when the next one is there, and the last one with the answer.

        ``send`` waits while the caller does not read; tokens that came meanwhile go out together.
        """
        news: list[Chunk] | Done = self._first
        last: Chunk | None = None
        while not isinstance(news, Done):
            last = news[-1] if news[-1].last else None
            ready = news[:-1] if last else news
            if ready:
                await _send(send, b"".join(_event(_token(chunk)) for chunk in ready))
            news = await self._stream.take()
        self._exchange.done = news
        raise_first(news.answers)
        if last is None:
            raise ServingError("Internal error.")
        await _send(send, _event(_last(last, news), "done"), more=False)

    async def _fail(self, send: Send, error: ServingError) -> None:
        self.status_code = error.status
        event = _event(error_body(error, self._work.request_id), "error")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORD_S):
                await _send(send, event, more=False)


async def _send(send: Send, content: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": content, "more_body": more})


def _event(data: Mapping[str, Any], name: str = "") -> bytes:
    content = orjson.dumps(data)
    for line_break, escaped in _LINE_BREAKS.items():
        content = content.replace(line_break, escaped)
    return (f"event: {name}\n" if name else "").encode() + b"data: " + content + b"\n\n"


def _token(chunk: Chunk) -> StreamEvent:
    """One token as an event."""
    return {
        "index": chunk.index,
        "token": {
            "id": chunk.token,
            "text": chunk.text,
            "logprob": chunk.logprob,
            "special": chunk.special,
        },
        "generated_text": None,
        "details": None,
    }


def _last(chunk: Chunk, done: Done) -> StreamEvent:
    """The last token and all that is known about the answer."""
    answer: Generated = done.answers[0]
    details = answer["details"]
    return _token(chunk) | {
        "generated_text": answer["generated_text"],
        "summary_text": answer["summary_text"],
        "translation_text": answer["translation_text"],
        "details": {
            "finish_reason": details["finish_reason"],
            "generated_tokens": details["generated_tokens"],
            "input_length": done.tokens_in,
            "seed": details["seed"],
        },
        "usage": {
            "prompt_tokens": done.tokens_in,
            "completion_tokens": done.tokens_out,
            "total_tokens": done.tokens_in + done.tokens_out,
        },
        "windows": done.windows,
        "truncated": done.truncated,
    }
