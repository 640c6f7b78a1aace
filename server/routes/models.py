"""GET /models/{name}/health and /info: what is served."""

from typing import Any, Literal, NotRequired

from starlette.responses import Response
from starlette.routing import Route
from typing_extensions import TypedDict

from contracts.tasks import Task
from server.exchange import Endpoint, Exchange
from server.front import Front
from server.messages import ModelStatus
from server.openapi import (
    LOOKING,
    MODEL_NAME,
    REQUEST_ID,
    Section,
    errors,
    json_answer,
    operation,
    refer,
    schemas_of,
)


class ModelInfo(TypedDict):
    """One model; the reason only where it is refused."""

    name: str
    version: int
    aliases: list[str]
    task: str
    generates: bool
    state: Literal["loading", "ready", "refused"]
    backend: str | None
    precision: str | None
    device: str | None
    max_tokens: int | None
    labels: list[str]
    answers: list[Task]
    bytes: int
    reason: NotRequired[str]


class Health(TypedDict):
    """A word."""

    status: Literal["ok"]


def model_routes(front: Front) -> list[Route]:
    """The paths of this family."""

    async def health(exchange: Exchange) -> Response:
        exchange.named(exchange.request.path_params["name"])
        return exchange.respond({"status": "ok"})

    async def info(exchange: Exchange) -> Response:
        return exchange.respond(described(exchange.named(exchange.request.path_params["name"])))

    ends = {"/models/{name}/health": health, "/models/{name}/info": info}
    return [
        Route(path, Endpoint(front, handle, asks=False), methods=["GET"])
        for path, handle in ends.items()
    ]


def model_section() -> Section:
    """What the OpenAPI document says of them."""

    def get(summary: str, answer: str) -> dict[str, Any]:
        responses = {"200": json_answer(refer(answer), "As asked"), **errors(LOOKING)}
        return {"get": operation(summary, responses, parameters=[MODEL_NAME, REQUEST_ID])}

    return Section(
        tag="models",
        about="What is served.",
        paths={
            "/models/{name}/health": get("Whether one model answers", "Health"),
            "/models/{name}/info": get("What one model is", "ModelInfo"),
        },
        schemas=schemas_of({"Health": Health, "ModelInfo": ModelInfo}),
    )


def described(model: ModelStatus) -> dict[str, Any]:
    """One model as a ``ModelInfo``."""
    facts = {
        "name": model.name,
        "version": model.version,
        "aliases": list(model.aliases),
        "task": model.task,
        "generates": model.generates,
        "state": model.state,
        "backend": model.backend,
        "precision": model.precision,
        "device": model.device,
        "max_tokens": model.max_tokens,
        "labels": list(model.labels),
        "answers": [body.task for body in model.bodies] if model.task else [],
        "bytes": model.bytes,
    }
    return facts | ({"reason": model.reason} if model.reason else {})
