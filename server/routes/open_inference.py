"""/v2: the Open Inference Protocol over HTTP, as Triton's clients speak it."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from contracts.errors import InvalidRequest, ServingError, UnknownModel
from server.errors import error_body
from server.exchange import Endpoint, Exchange, raise_first
from server.front import Front
from server.messages import ModelStatus
from server.protocols.open_inference import HEADER_LENGTH, decode, encode
from server.protocols.open_inference_models import configuration, index, metadata, statistics
from server.protocols.open_inference_tasks import to_body, to_outputs
from server.rollout import Rollout
from server.routes.admin import AdminEndpoint

EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository", "statistics")

Handle = Callable[[Exchange], Awaitable[Response]]


def open_inference_routes(front: Front, rollout: Rollout) -> list[Route]:
    """The paths of this family; ``load`` and ``unload`` are the administrator's."""

    def route(path: str, handle: Handle, method: str = "GET") -> Route:
        endpoint = Endpoint(
            front, handle, error_response, asks=handle is infer, protocol="open-inference"
        )
        return Route(f"/v2{path}", endpoint, methods=[method])

    async def live(_: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(_: Request) -> Response:
        is_ready = front.engines.ready and not front.drain.begun
        return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)

    def of_model(path: str, handle: Handle, method: str = "GET") -> list[Route]:
        return [
            route(f"/models/{{name}}{version}{path}", handle, method)
            for version in ("", "/versions/{version}")
        ]

    return [
        route("", server),
        route("/", server),
        Route("/v2/health/live", live),  # as /livez and /readyz: without a key
        Route("/v2/health/ready", ready),
        route("/models/stats", all_statistics),
        *of_model("", about(lambda front, model: metadata(model, _versions(front, model)))),
        *of_model("/ready", about(lambda front, model: {"name": model.name, "ready": True})),
        *of_model("/config", about(lambda front, model: configuration(model))),
        *of_model("/stats", model_statistics),
        *of_model("/infer", infer, "POST"),
        route("/repository/index", repository_index, "POST"),
        *(
            Route(
                f"/v2/repository/models/{{name}}/{end}",
                AdminEndpoint(front, changing(change), error_response, asks=False),
                methods=["POST"],
            )
            for end, change in (("load", rollout.load), ("unload", rollout.unload))
        ),
    ]


def error_response(error: ServingError, request_id: str) -> Response:
    """``{"error": sentence}``; a bad request is 400 here."""
    sentence = error_body(error, request_id)["error"]
    return Response(
        orjson.dumps({"error": sentence}),
        status_code=400 if isinstance(error, InvalidRequest) else error.status,
        headers={**error.headers, "x-request-id": request_id},
        media_type="application/json",
    )


async def server(exchange: Exchange) -> Response:
    """What this server is."""
    app = exchange.request.app
    return exchange.respond({"name": app.title, "version": app.version, "extensions": EXTENSIONS})


def about(tell: Callable[[Front, ModelStatus], Any]) -> Handle:
    """Answers what is asked about one model that is ready."""

    async def handle(exchange: Exchange) -> Response:
        return exchange.respond(tell(exchange.front, _model(exchange)))

    return handle


async def infer(exchange: Exchange) -> Response:
    """One inference."""
    model = _model(exchange)
    exchange.take(model)
    body = await exchange.body()
    request = decode(body, exchange.request.headers.get(HEADER_LENGTH))
    if request.timeout_s is not None:
        exchange.within(request.timeout_s)
    asked = to_body(model, request)
    answers = await exchange.ask(asked.items())
    raise_first(answers)
    content, header = encode(request, model.name, model.version, to_outputs(asked, answers))
    headers = {"x-request-id": exchange.request_id, **exchange.facts}
    if header is None:
        return Response(content, headers=headers, media_type="application/json")
    headers[HEADER_LENGTH] = str(header)
    return Response(content, headers=headers, media_type="application/octet-stream")


async def model_statistics(exchange: Exchange) -> Response:
    """The counters of the versions that are named."""
    model = _model(exchange)
    front = exchange.front
    pinned = (
        "version" in exchange.request.path_params or "@" in exchange.request.path_params["name"]
    )
    models = [model] if pinned else _versions(front, model)
    return exchange.respond(statistics(models, front.metrics.statistics))


async def all_statistics(exchange: Exchange) -> Response:
    """The counters of every model."""
    front = exchange.front
    models = [model for model in exchange.models() if model.state == "ready"]
    return exchange.respond(statistics(models, front.metrics.statistics))


async def repository_index(exchange: Exchange) -> Response:
    """Every model that this server was told of, and its state."""
    try:
        body = orjson.loads(await exchange.body() or b"{}")
        only_ready = body.get("ready", False) is True
    except (orjson.JSONDecodeError, AttributeError):
        raise InvalidRequest('The body is not JSON; send {} or {"ready": true}.') from None
    return exchange.respond(index(exchange.models(), only_ready=only_ready))


def changing(change: Callable[[str], Awaitable[Any]]) -> Handle:
    """Loads or unloads the model of the path."""

    async def handle(exchange: Exchange) -> Response:
        try:
            body = orjson.loads(await exchange.body() or b"{}")
            parameters = body.get("parameters") or {}
        except (orjson.JSONDecodeError, AttributeError):
            raise InvalidRequest("The body is not JSON; send {}.") from None
        if set(parameters) - {"unload_dependents"}:
            raise InvalidRequest(
                "A model is loaded from the server's own store, as it is: send neither config nor"
                " files."
            )
        await change(exchange.request.path_params["name"])
        return exchange.respond({})

    return handle


def _model(exchange: Exchange) -> ModelStatus:
    """The model that the path names."""
    where = exchange.request.path_params
    name = where["name"]
    if version := where.get("version"):
        if "@" in name:
            raise UnknownModel(f"{name} names a version already: leave /versions/{version} out.")
        name = f"{name}@{version}"
    return exchange.named(name)


def _versions(front: Front, model: ModelStatus) -> list[ModelStatus]:
    """The ready versions of a model's name."""
    return [one for one in front.models if one.name == model.name and one.state == "ready"]
