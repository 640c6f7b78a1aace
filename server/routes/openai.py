"""/v1: embeddings and models as OpenAI's clients ask for them."""

from typing import Any

import orjson
from starlette.responses import Response
from starlette.routing import Route

from contracts.errors import InvalidRequest, ServingError
from contracts.tasks import Task
from server.errors import error_body
from server.exchange import Endpoint, Exchange, raise_first
from server.front import Front
from server.messages import ModelStatus
from server.parsing import parse_body
from server.protocols.openai import EmbeddingsBody
from server.routes.models import described

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_FIELDS = ("input", "model", "encoding_format", "dimensions", "user")


def openai_routes(front: Front) -> list[Route]:
    """The paths of this family."""
    return [
        Route(
            "/v1/embeddings",
            Endpoint(front, embeddings, error_response, protocol="openai"),
            methods=["POST"],
        ),
        *(
            Route(path, Endpoint(front, handle, error_response, asks=False), methods=["GET"])
            for path, handle in (("/v1/models", listing), ("/v1/models/{name}", one_model))
        ),
    ]


def error_response(error: ServingError, request_id: str) -> Response:
    """``{"error": {"message", "type", "param", "code"}}``, and ours beside it."""
    body = error_body(error, request_id)
    field = body["error"].partition(":")[0]
    told = {
        "message": body["error"],
        "type": _TYPES.get(
            error.status, "invalid_request_error" if error.status < 500 else "server_error"
        ),
        "param": next((name for name in _FIELDS if field.startswith(name)), None),
        "code": body["error_type"],
    }
    return Response(
        orjson.dumps({"error": told, "request_id": request_id}),
        status_code=error.status,
        headers={**error.headers, "x-request-id": request_id},
        media_type="application/json",
    )


async def embeddings(exchange: Exchange) -> Response:
    """Embed; the model stands in the body."""
    front = exchange.front
    body = parse_body(EmbeddingsBody, await exchange.body())
    model = (
        front.default_model(_embeds, "embeds texts")
        if body.model is None
        else exchange.named(body.model)
    )
    if not _embeds(model):
        raise InvalidRequest(f"model: {model.name} is a model for {model.task}; it does not embed.")
    exchange.take(model)
    answers = await exchange.ask(body.items())
    raise_first(answers)
    tokens = exchange.done.tokens_in if exchange.done else 0
    return exchange.respond(body.shape(answers, body.model or model.name, tokens))


async def listing(exchange: Exchange) -> Response:
    """Every model that is ready."""
    data = [_card(model, model.name) for model in exchange.models() if model.state == "ready"]
    return exchange.respond({"object": "list", "data": data})


async def one_model(exchange: Exchange) -> Response:
    """One model, by name, ``name@version`` or ``name@alias``."""
    name = exchange.request.path_params["name"]
    return exchange.respond(_card(exchange.named(name), name))


def _card(model: ModelStatus, identity: str) -> dict[str, Any]:
    """A model in OpenAI's shape, and all that ``/info`` tells."""
    of_openai = {
        "id": identity,
        "object": "model",
        "created": model.created,
        "owned_by": "tuneserve",
    }
    return described(model) | of_openai


def _embeds(model: ModelStatus) -> bool:
    return model.task == Task.FEATURE_EXTRACTION
