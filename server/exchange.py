"""One request from its headers to its response, the same for every family of routes.

A family (Hugging Face's shapes, OpenAI's, ...) gives an ``Endpoint`` a function from an
``Exchange`` to a response, and its own shape of errors. What stands around it is here and nowhere
else: key, drain, admission, deadline, the way to the engine and back, metrics, log.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from contracts.errors import InvalidRequest, ServingError, Unavailable
from server.callers import CLIENT_GONE, CallerGone, first_of
from server.errors import error_response, request_id_of
from server.front import Front
from server.lanes import Lane
from server.line import Line
from server.link import EngineLink
from server.messages import Done, ModelStatus, Work

logger = logging.getLogger(__name__)


class Exchange:
    """One request on its way to an answer.

    Attributes:
        front: what all routes share.
        request: as it came; its body is read by ``body``.
        request_id: the caller's, or a new one.
        caller: who sent it, once the key is known.
        model: that is asked, once ``take`` was told.
        done: the engine's reply with its times, once it came.
        failed_items: where the caller takes errors among the answers, how many there are.
        cached: whether that was a reply to an earlier request.
    """

    __slots__ = (
        "_entered",
        "_place",
        "cached",
        "caller",
        "deadline",
        "done",
        "failed_items",
        "front",
        "model",
        "request",
        "request_id",
    )

    def __init__(self, front: Front, request: Request) -> None:
        self.front = front
        self.request = request
        self.request_id = request_id_of(request)
        self.caller = front.keys.anyone
        self._entered = False
        self.failed_items: int | None = None
        self._place: tuple[Line, int] | None = None
        """The line that it waits in, and its characters."""
        self.model: ModelStatus | None = None
        self.done: Done | None = None
        self.cached = False
        self.deadline = 0.0

    def enter(self) -> None:
        """Learn who asks, and count the request among theirs until ``leave``.

        Raises:
            Unauthorized: no key, or a wrong one.
            QuotaExceeded: the key's quota is used up.
        """
        self.caller = self.front.keys.identify(self.request)
        self.caller.enter()
        self._entered = True

    def leave(self) -> None:
        """The response is sent."""
        self._leave_line()
        if self._entered:
            self.caller.leave()

    def named(self, reference: str) -> ModelStatus:
        """The model of a name in the URL or the body.

        Raises:
            UnknownModel: see ``Front.model``.
            Forbidden: the caller's key is for other models.
        """
        model = self.front.model(reference)
        self.caller.check_model(model.name)
        return model

    def models(self) -> list[ModelStatus]:
        """All models that the caller may know of, in any state."""
        return [model for model in self.front.models if self.caller.may_use(model.name)]

    def take(self, model: ModelStatus) -> None:
        """Take the request in for a model: before its body is read, so that a refusal is cheap.

        Raises:
            Forbidden: the caller's key is for other models.
            InvalidRequest: the timeout header is no number.
            Overloaded: too many wait for the model's lane, or too many of the caller's.
        """
        self.model = model
        self.caller.check_model(model.name)
        lane = Lane.of(model.generates)
        self.deadline = self.front.admission.deadline(self.request, lane)
        line = self.front.admission.lines[lane]
        line.check()
        if self.caller.one_of_many:
            line.check_share(self.caller.in_flight)

    def within(self, seconds: float) -> None:
        """Let the answer be there in so many seconds at most, as the body of a request asks."""
        self.deadline = min(self.deadline, time.monotonic() + seconds)

    async def body(self) -> bytes:
        """The whole body.

        Raises:
            RequestTooLarge: it has more bytes than one request may have.
            InvalidRequest: it is compressed.
        """
        if any(name == b"content-encoding" for name, _ in self.request.scope["headers"]):
            raise InvalidRequest("The body is compressed: send it as it is.")
        return await self.front.admission.body(self.request)

    def work(self, items: list[Any], *, stream: bool = False) -> tuple[EngineLink, Work]:
        """The message to the engine and the link it goes over; not sent yet.

        Raises:
            RequestTooLarge: too many items, or characters.
            Overloaded: others came in while the body was read, or it would not be done in time.
            Unavailable: no engine is there.
        """
        assert self.model is not None
        model, front = self.model, self.front
        lane = Lane.of(model.generates)
        characters = front.admission.items(items)
        line = front.admission.lines[lane]
        line.enter(characters, self.deadline)
        self._place = (line, characters)
        sent = time.monotonic()
        return front.engines.choose(
            lane,
            model.id,
            lambda id: Work(
                id,
                self.request_id,
                model.id,
                items,
                sent,
                self.deadline,
                self.caller.turn(self.deadline),
                stream=stream,
            ),
        )

    async def ask(self, items: list[Any]) -> list[Any]:
        """Let the engine answer.

        Returns:
            One answer or ``ServingError`` per item, in order.

        Raises:
            CallerGone: the caller closed the connection; the work is dropped.
            DeadlineExceeded: no answer came in time.
            Unavailable: the engine died; nothing was sent twice.
            ServingError: see ``work``.
        """
        assert self.model is not None
        cache = self.front.cache
        key = None
        if cache.on and not self.model.generates:
            key = cache.key(f"{self.model.id} of {self.model.created}", items)
            if (kept := cache.get(key)) is not None:
                self.done, self.cached = kept, True
                return kept.answers
        link, work = self.work(items)
        future = link.submit(work)
        try:
            self.done = await first_of(future, self.request, self.deadline)
        finally:
            link.cancel(work.id)
            self._leave_line()
        if key is not None:
            cache.put(key, self.done)
        return self.done.answers

    def respond(self, content: Any, status: int = 200) -> Response:
        """A JSON response, with the headers that say what happened."""
        return Response(
            orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY),
            status_code=status,
            headers={"x-request-id": self.request_id, **self.facts},
            media_type="application/json",
        )

    @property
    def facts(self) -> dict[str, str]:
        """Headers: version, windows, times, truncation."""
        if self.model is None or self.done is None:
            return {}
        done = self.done
        facts = {"x-model-version": self.model.id, "x-windows": str(done.windows)}
        if self.cached:
            facts["x-cache"] = "hit"
        else:
            facts["x-queue-ms"] = f"{done.queue_s * 1000:.2f}"
            facts["x-compute-ms"] = f"{done.compute_s * 1000:.2f}"
        if self.failed_items is not None:
            facts["x-failed-items"] = str(self.failed_items)
        if done.truncated:
            facts["x-truncated"] = "true"
        return facts

    def _leave_line(self) -> None:
        if self._place is not None:
            line, characters = self._place
            self._place = None
            line.leave(characters, answered=self.done is not None)


ErrorShape = Callable[[ServingError, str], Response]
"""From an error and the request id to a family's response."""


class Endpoint:
    """A route's end as an ASGI application: starlette calls it with nothing in between."""

    def __init__(
        self,
        front: Front,
        handle: Callable[[Exchange], Awaitable[Response]],
        error: ErrorShape = error_response,
        *,
        asks: bool = True,
        protocol: str = "hugging-face",
    ) -> None:
        """Answer with ``handle``.

        Args:
            front: what all routes share.
            handle: makes the response; what it raises as a ``ServingError`` is answered by
                ``error``.
            error: the family's shape.
            asks: whether a model is asked. Else it is a look at what is served, which is neither
                counted nor logged, and is answered during a drain as well.
            protocol: the family's name in metrics and log.
        """
        self._front, self._handle, self._error = front, handle, error
        self._asks, self._protocol = asks, protocol

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: one request; every way out is counted and logged.

        That comes after the response: the caller does not wait for our books.
        """
        began = time.monotonic()
        front = self._front
        exchange = Exchange(front, Request(scope, receive))
        with front.drain:
            try:
                response = await self._respond(exchange)
                if front.drain.begun:
                    response.headers["connection"] = "close"
                await response(scope, receive, send)
            finally:
                exchange.leave()
        if not self._asks:
            return
        seconds = time.monotonic() - began
        front.metrics.answered(
            exchange.model,
            self._protocol,
            response.status_code,
            seconds,
            None if exchange.cached else exchange.done,
        )
        key = exchange.caller.name
        if key is not None:
            front.metrics.asked(key, response.status_code)
        if front.settings.access_log:
            logger.info(
                "request",
                extra={
                    "request_id": exchange.request_id,
                    "client": exchange.request.client.host if exchange.request.client else None,
                    "key": key,
                    "protocol": self._protocol,
                    "model": exchange.model.id if exchange.model else None,
                    "status": response.status_code,
                    "ms": round(seconds * 1000, 2),
                },
            )

    def admit(self, exchange: Exchange) -> None:
        """Let the request in, or refuse it; see ``Exchange.enter``."""
        exchange.enter()

    async def _respond(self, exchange: Exchange) -> Response:
        front = self._front
        try:
            self.admit(exchange)
            if front.drain.begun and self._asks:
                raise Unavailable("The server is shutting down; send it elsewhere.")
            return await self._handle(exchange)
        except CallerGone:
            return Response(status_code=CLIENT_GONE)
        except ServingError as error:
            return self._error(error, exchange.request_id)
        except Exception:
            logger.exception("a request failed", extra={"request_id": exchange.request_id})
            return self._error(ServingError("Internal error."), exchange.request_id)


def raise_first(answers: Sequence[Any]) -> None:
    """Let a batch end with its first error, which then names its place; else do nothing.

    Raises:
        ServingError: of the first item that has one.
    """
    for index, answer in enumerate(answers):
        if isinstance(answer, ServingError):
            answer.place = f"inputs[{index}]" if len(answers) > 1 else ""
            raise answer
