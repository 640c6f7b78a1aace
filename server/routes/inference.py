"""POST /models/{name}, / and /invocations: Hugging Face's shapes, all tasks."""

from collections.abc import Awaitable, Callable

import orjson
from pydantic import ValidationError
from starlette.responses import Response
from starlette.routing import Route

from contracts.bodies import body_of
from contracts.errors import InvalidRequest
from contracts.schemas import Body
from contracts.tasks import Task
from server.errors import explain
from server.exchange import Endpoint, Exchange, raise_first
from server.front import Front
from server.messages import ModelStatus
from server.routes.events import open_stream, streamed, wants_events


def inference_routes(front: Front) -> list[Route]:
    """The paths of this family."""

    def default(_: Exchange) -> ModelStatus:
        return front.default_model()

    def named(exchange: Exchange) -> ModelStatus:
        return front.model(exchange.request.path_params["name"])

    return [
        Route(path, Endpoint(front, answering(pick)), methods=["POST"])
        for path, pick in (("/models/{name}", named), ("/", default), ("/invocations", default))
    ]


def answering(
    pick: Callable[[Exchange], ModelStatus],
) -> Callable[[Exchange], Awaitable[Response]]:
    """Answers a request in the shape of its model's task.

    Args:
        pick: finds the model.
    """

    async def answer(exchange: Exchange) -> Response:
        model = pick(exchange)
        exchange.take(model)
        body = parse(body_of(Task(model.task), model.generates), await exchange.body())
        items = body.items()
        if wants_events(exchange.request, body, model):
            return await open_stream(exchange, streamed(items))
        answers = await exchange.ask(items)
        raise_first(answers)
        return exchange.respond(body.shape(answers))

    return answer


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
