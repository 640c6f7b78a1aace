"""POST /models/{name}, / and /invocations: Hugging Face's shapes, all tasks."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable

import orjson
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from contracts.errors import DeadlineExceeded, InvalidRequest, ServingError, Unavailable
from contracts.schemas import BODIES, Body
from contracts.tasks import Task
from server.errors import error_response, explain, first_error
from server.front import Front
from server.messages import Done, ModelStatus, Work

logger = logging.getLogger(__name__)

CLIENT_GONE = 499
"""Logged and counted where the caller closed the connection first (nginx's number)."""

WATCH_AFTER_S = 0.05
"""Time after which a caller that went away is noticed, and its work dropped."""


class Inference:
    """Answers one model's task over HTTP."""

    def __init__(self, front: Front) -> None:
        self.front = front

    def routes(self) -> list[Route]:
        """The paths of this family."""

        def default(_: Request) -> ModelStatus:
            return self.front.default_model()

        def named(request: Request) -> ModelStatus:
            return self.front.model(request.path_params["name"])

        return [
            Route(path, Endpoint(self, pick), methods=["POST"])
            for path, pick in (("/models/{name}", named), ("/", default), ("/invocations", default))
        ]

    async def answer(
        self, scope: Scope, receive: Receive, send: Send, pick: Callable[[Request], ModelStatus]
    ) -> None:
        """One request from headers to response; every way out is counted and logged.

        That comes after the response: the caller does not wait for our books.
        """
        began = time.monotonic()
        request = Request(scope, receive)
        request_id = request_id_of(request)
        model: ModelStatus | None = None
        done: Done | None = None
        with self.front.drain:
            try:
                self.front.key.check(request)
                if self.front.drain.begun:
                    raise Unavailable("The server is shutting down; send it elsewhere.")
                model = pick(request)
                response, done = await self._infer(request, model, request_id)
            except ServingError as error:
                response = error_response(error, request_id)
            except Exception:
                logger.exception("a request failed", extra={"request_id": request_id})
                response = error_response(ServingError("Internal error."), request_id)
            if self.front.drain.begun:
                response.headers["connection"] = "close"
            await response(scope, receive, send)
        seconds = time.monotonic() - began
        self.front.metrics.answered(model, response.status_code, seconds, done)
        if self.front.settings.access_log:
            logger.info(
                "request",
                extra={
                    "request_id": request_id,
                    "model": model.id if model else None,
                    "status": response.status_code,
                    "ms": round(seconds * 1000, 2),
                },
            )

    async def _infer(
        self, request: Request, model: ModelStatus, request_id: str
    ) -> tuple[Response, Done | None]:
        front = self.front
        deadline = front.admission.deadline(request)
        front.admission.enter(front.engines.waiting)
        body = parse(BODIES[Task(model.task)], await front.admission.body(request))
        items = body.items()
        front.admission.items(items)
        front.admission.enter(front.engines.waiting)  # others came in while the body was read
        sent = time.monotonic()
        link, work_id, future = front.engines.submit(
            lambda id: Work(id, request_id, model.id, items, sent, deadline)
        )
        try:
            done = await _first_of(future, request, deadline)
        finally:
            link.cancel(work_id)
        if done is None:
            return Response(status_code=CLIENT_GONE), None
        front.admission.answered(front.engines.waiting)
        if failed := first_error(done.answers):
            index, error = failed
            place = f"inputs[{index}]" if len(items) > 1 else ""
            return error_response(error, request_id, place), done
        response = Response(
            orjson.dumps(body.shape(done.answers)),
            headers={"x-request-id": request_id, **_facts(model, done)},
            media_type="application/json",
        )
        return response, done


class Endpoint:
    """A route's end as an ASGI application: starlette calls it with nothing in between."""

    def __init__(self, inference: Inference, pick: Callable[[Request], ModelStatus]) -> None:
        self._inference, self._pick = inference, pick

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: one request."""
        await self._inference.answer(scope, receive, send, self._pick)


def request_id_of(request: Request) -> str:
    """The caller's ``x-request-id`` when it is printable and short, else a new one."""
    given = request.headers.get("x-request-id", "")
    return given if 0 < len(given) <= 128 and given.isprintable() else secrets.token_hex(8)


def parse(schema: type[Body], raw: bytes) -> Body:
    """Validate a body in one pass over its bytes.

    Raises:
        InvalidRequest: with sentences that name the fields.
    """
    try:
        return schema.model_validate_json(raw)
    except ValidationError as error:
        try:
            loaded = orjson.loads(raw)
        except orjson.JSONDecodeError as broken:
            raise InvalidRequest(f"The body is not JSON: {broken}.") from None
        raise explain(schema, loaded, error) from None


async def _first_of(future: asyncio.Future[Done], request: Request, deadline: float) -> Done | None:
    """The answer; None when the caller went away first.

    Raises:
        DeadlineExceeded: neither came in time.
        Unavailable: the engine died.
    """
    gone = asyncio.Event()

    async def watch() -> None:
        await request.receive()  # the body is read: what comes next is the end of the connection
        gone.set()
        future.cancel()

    watching: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()
    # Most answers are there before the watcher would be: they do not pay for it.
    start = loop.call_later(WATCH_AFTER_S, lambda: watching.append(loop.create_task(watch())))
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            return await future
    except TimeoutError:
        raise DeadlineExceeded(
            "The answer was not ready in time; send less, or allow more time."
        ) from None
    except asyncio.CancelledError:
        if gone.is_set():
            return None
        raise
    finally:
        start.cancel()
        for task in watching:
            task.cancel()


def _facts(model: ModelStatus, done: Done) -> dict[str, str]:
    facts = {
        "x-model-version": model.id,
        "x-windows": str(done.windows),
        "x-queue-ms": f"{done.queue_s * 1000:.2f}",
        "x-compute-ms": f"{done.compute_s * 1000:.2f}",
    }
    if done.truncated:
        facts["x-truncated"] = "true"
    return facts
