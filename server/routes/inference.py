"""POST /models/{name}, / and /invocations: Hugging Face's shapes, all tasks."""

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

from contracts.bodies import body_of
from contracts.errors import InvalidRequest, ServingError, Unavailable
from contracts.schemas import Body
from contracts.tasks import Task
from server.errors import error_response, explain, first_error
from server.front import Front
from server.lanes import Lane
from server.messages import Done, ModelStatus, Work
from server.routes.callers import CLIENT_GONE, first_of
from server.routes.events import EventStream, open_stream, streamed, wants_events

logger = logging.getLogger(__name__)


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
            if isinstance(response, EventStream):
                done = response.done
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
        lane = Lane.of(model.generates)
        line = front.admission.lines[lane]
        deadline = front.admission.deadline(request, lane)
        line.enter(front.engines.waiting(lane))
        body = parse(
            body_of(Task(model.task), model.generates), await front.admission.body(request)
        )
        items = body.items()
        front.admission.items(items)
        if stream := wants_events(request, body, model):
            items = streamed(items)
        line.enter(front.engines.waiting(lane))  # others came in while the body was read
        sent = time.monotonic()
        link, work = front.engines.choose(
            lane, lambda id: Work(id, request_id, model.id, items, sent, deadline, stream)
        )
        if stream:
            return await open_stream(link, work, request, model)
        future = link.submit(work)
        try:
            done = await first_of(future, request, deadline)
        finally:
            link.cancel(work.id)
        if done is None:
            return Response(status_code=CLIENT_GONE), None
        line.answered(front.engines.waiting(lane))
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
        if isinstance(loaded, dict) and "stream" in loaded and "stream" not in schema.model_fields:
            raise InvalidRequest(
                "stream: this model does not generate text, so there is nothing to stream; leave"
                " it out."
            ) from None
        raise explain(schema, loaded, error) from None


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
