"""GET /models/{name}/health and /info, GET /v1/models: what is served."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from contracts.errors import ServingError
from server.errors import error_response
from server.exchange import request_id_of
from server.front import Front
from server.messages import ModelStatus


def model_routes(front: Front) -> APIRouter:
    """The paths of this family."""
    router = APIRouter(tags=["models"])

    def guarded(request: Request, reference: str) -> ModelStatus | Response:
        try:
            front.key.check(request)
            return front.model(reference)
        except ServingError as error:
            return error_response(error, request_id_of(request))

    @router.get("/models/{name}/health", summary="Whether one model answers")
    async def health(request: Request, name: str) -> Response:
        model = guarded(request, name)
        return model if isinstance(model, Response) else JSONResponse({"status": "ok"})

    @router.get("/models/{name}/info", summary="What one model is")
    async def info(request: Request, name: str) -> Response:
        model = guarded(request, name)
        return model if isinstance(model, Response) else JSONResponse(described(model))

    @router.get("/v1/models", summary="All models, in OpenAI's shape")
    async def listing(request: Request) -> Response:
        try:
            front.key.check(request)
        except ServingError as error:
            return error_response(error, request_id_of(request))
        data = [
            {"id": model.name, "object": "model", "created": 0, "owned_by": "tuneserve"}
            | described(model)
            for model in front.models
            if model.state == "ready"
        ]
        return JSONResponse({"object": "list", "data": data})

    return router


def described(model: ModelStatus) -> dict[str, Any]:
    """One model as JSON; a reason only where it is refused."""
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
