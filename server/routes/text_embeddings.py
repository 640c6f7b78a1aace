"""/predict, /embed, /rerank, /similarity and /info, as text-embeddings-inference answers them.

That server has one model. Here the plain paths ask the default one, ``/tei/{name}/...`` any other:
its clients take ``http://host/tei/name`` for a server.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

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
from server.protocols.text_embeddings import (
    CompareBody,
    EmbedBody,
    PredictBody,
    RerankBody,
    TeiBody,
    information,
)


class WrongModel(InvalidRequest):
    """The model is there and cannot do this."""

    status = 424


@dataclass(frozen=True, slots=True)
class Operation:
    """One of the family's paths."""

    path: str
    body: type[TeiBody]
    fits: Callable[[ModelStatus], bool]
    needs: str
    """What kind of model it asks."""


def classifies(model: ModelStatus) -> bool:
    """Whether it gives labels to a text."""
    return model.task == Task.TEXT_CLASSIFICATION


def reranks(model: ModelStatus) -> bool:
    """Whether it gives one number to a pair of texts."""
    return classifies(model) and len(model.labels) == 1


def embeds(model: ModelStatus) -> bool:
    """Whether it gives embeddings."""
    return model.task == Task.FEATURE_EXTRACTION


OPERATIONS = (
    Operation("/predict", PredictBody, classifies, "classifies texts"),
    Operation("/embed", EmbedBody, embeds, "embeds texts"),
    Operation("/rerank", RerankBody, reranks, "scores pairs (a classifier with one label)"),
    Operation("/similarity", CompareBody, embeds, "embeds texts"),
)

_TYPES = {429: "Overloaded", 503: "Unhealthy", 424: "Backend", 500: "Backend", 504: "Backend"}
_VALIDATION = "Validation"


def text_embeddings_routes(front: Front) -> list[Route]:
    """The paths of this family."""

    def both(path: str, handle: Callable[[Exchange], Awaitable[Response]]) -> list[Route]:
        looks = path == "/info"
        endpoint = Endpoint(
            front, handle, error_response, asks=not looks, protocol="text-embeddings-inference"
        )
        methods = ["GET" if looks else "POST"]
        return [Route(where + path, endpoint, methods=methods) for where in ("", "/tei/{name}")]

    routes = [route for one in OPERATIONS for route in both(one.path, answering(one))]
    return [*routes, *both("/info", info)]


def error_response(error: ServingError, request_id: str) -> Response:
    """``{"error", "error_type", "request_id"}`` with text-embeddings-inference's types."""
    body = error_body(error, request_id)
    body["error_type"] = _TYPES.get(error.status, _VALIDATION)
    return Response(
        orjson.dumps(body),
        status_code=error.status,
        headers={**error.headers, "x-request-id": request_id},
        media_type="application/json",
    )


def answering(operation: Operation) -> Callable[[Exchange], Awaitable[Response]]:
    """Answers one of the paths."""

    async def answer(exchange: Exchange) -> Response:
        model = _model(exchange, operation.fits, operation.needs)
        exchange.take(model)
        body: TeiBody = parse_body(operation.body, await exchange.body())
        _check(model, operation.fits, operation.needs)
        answers = await exchange.ask(body.items())
        raise_first(answers)
        return exchange.respond(body.shape(answers))

    return answer


async def info(exchange: Exchange) -> Response:
    """What the model is, and what this server takes."""
    front = exchange.front
    model = _model(exchange, _either, "classifies or embeds")
    _check(model, _either, "classifies or embeds")
    return exchange.respond(information(model, front.settings, exchange.request.app.version))


def _model(exchange: Exchange, fits: Callable[[ModelStatus], bool], needs: str) -> ModelStatus:
    front = exchange.front
    name = exchange.request.path_params.get("name")
    model = front.default_model(fits, needs) if name is None else exchange.named(name)
    exchange.caller.check_model(model.name)
    return model


def _check(model: ModelStatus, fits: Callable[[ModelStatus], bool], needs: str) -> None:
    if not fits(model):
        raise WrongModel(f"{model.name} is a model for {model.task}; this asks one that {needs}.")


def _either(model: ModelStatus) -> bool:
    return classifies(model) or embeds(model)
