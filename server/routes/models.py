"""GET /models/{name}/health and /info, GET /v1/models: what is served."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal, NotRequired

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from typing_extensions import TypedDict

from contracts.errors import ServingError
from server.errors import error_response, request_id_of
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
    bytes: int
    reason: NotRequired[str]


class ListedModel(ModelInfo):
    """One model as OpenAI's clients read it, and more."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(TypedDict):
    """OpenAI's shape of a list."""

    object: Literal["list"]
    data: list[ListedModel]


class Health(TypedDict):
    """A word."""

    status: Literal["ok"]


def model_routes(front: Front) -> list[Route]:
    """The paths of this family."""

    async def health(request: Request) -> Response:
        front.model(request.path_params["name"])
        return JSONResponse({"status": "ok"})

    async def info(request: Request) -> Response:
        return JSONResponse(described(front.model(request.path_params["name"])))

    async def listing(_: Request) -> Response:
        data = [
            {"id": model.name, "object": "model", "created": 0, "owned_by": "tuneserve"}
            | described(model)
            for model in front.models
            if model.state == "ready"
        ]
        return JSONResponse({"object": "list", "data": data})

    return [
        Route("/models/{name}/health", guarded(front, health)),
        Route("/models/{name}/info", guarded(front, info)),
        Route("/v1/models", guarded(front, listing)),
    ]


def model_section() -> Section:
    """What the OpenAPI document says of them."""

    def get(summary: str, answer: str, *statuses: int, named: bool = True) -> dict[str, Any]:
        parameters = [MODEL_NAME, REQUEST_ID] if named else [REQUEST_ID]
        responses = {"200": json_answer(refer(answer), "As asked"), **errors(statuses)}
        return {"get": operation(summary, responses, parameters=parameters)}

    return Section(
        tag="models",
        about="What is served.",
        paths={
            "/models/{name}/health": get("Whether one model answers", "Health", *LOOKING),
            "/models/{name}/info": get("What one model is", "ModelInfo", *LOOKING),
            "/v1/models": get("All models, in OpenAI's shape", "ModelList", 401, 429, named=False),
        },
        schemas=schemas_of({"Health": Health, "ModelInfo": ModelInfo, "ModelList": ModelList}),
    )


def guarded(
    front: Front, handle: Callable[[Request], Awaitable[Response]]
) -> Callable[[Request], Awaitable[Response]]:
    """A path that asks for the key but not for an engine."""

    async def answer(request: Request) -> Response:
        request_id = request_id_of(request)
        try:
            front.key.check(request)
            response = await handle(request)
        except ServingError as error:
            return error_response(error, request_id)
        response.headers["x-request-id"] = request_id
        return response

    return answer


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
        "bytes": model.bytes,
    }
    return facts | ({"reason": model.reason} if model.reason else {})
