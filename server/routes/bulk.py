"""POST /models/{name}/bulk: NDJSON in and out, for millions of lines; see docs/bulk.md."""

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from contracts.errors import InvalidRequest, Overloaded
from server.bulk import NDJSON, BulkStream, Jobs
from server.exchange import Endpoint, Exchange
from server.front import Front
from server.openapi import MODEL_NAME, REQUEST_ID, Section, errors, operation

RETRY_S = 30


def bulk_routes(front: Front) -> list[Route]:
    """The paths of this family."""
    jobs = Jobs(front.settings.max_bulk_jobs)

    async def bulk(exchange: Exchange) -> Response:
        exchange.take(exchange.named(exchange.request.path_params["name"]))
        if exchange.request.headers.get("content-encoding", "identity") != "identity":
            raise InvalidRequest("The body is compressed: send it as it is.")
        if jobs.running >= jobs.most:
            raise Overloaded(
                f"{jobs.running} bulk jobs run already; try again in {RETRY_S} s.", RETRY_S
            )
        return BulkStream(exchange, jobs)

    return [Route("/models/{name}/bulk", Endpoint(front, bulk, protocol="bulk"), methods=["POST"])]


def bulk_section() -> Section:
    """What the OpenAPI document says of it."""
    lines: dict[str, Any] = {"schema": {"type": "string"}}
    body = {
        "required": True,
        "content": {NDJSON: {**lines, "examples": {"two lines": {"value": _EXAMPLE}}}},
    }
    answered = {"description": "A line per line", "content": {NDJSON: lines}}
    return Section(
        tag="bulk",
        about="Any number of lines, streamed in and out.",
        paths={
            "/models/{name}/bulk": {
                "post": operation(
                    "Ask a model for every line of a file",
                    {"200": answered, **errors((401, 403, 404, 422, 429, 500, 503))},
                    parameters=[MODEL_NAME, REQUEST_ID],
                    body=body,
                    description=_ABOUT,
                )
            }
        },
    )


_EXAMPLE = (
    '{"inputs": "Where is my parcel?", "parameters": {"top_k": 1}}\n"I want my money back."\n'
)
_ABOUT = (
    "Each line is a body of `POST /models/{name}`, or a text as a JSON string; each line of the"
    " answer is what that path would have answered, in order: an error has also its `line`. Answers"
    " come while lines are still sent. One of `ended: true` says that the server could not go on."
)
