"""POST /models/{name}, its pipelines, / and /invocations: Hugging Face's shapes, all tasks."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
from pydantic import ValidationError
from starlette.responses import Response
from starlette.routing import Route

from contracts.bodies import body_for
from contracts.errors import InvalidRequest
from contracts.schemas import Body
from contracts.tasks import Task
from server.errors import explain
from server.exchange import Endpoint, Exchange, raise_first
from server.front import Front
from server.messages import ModelStatus
from server.routes.events import open_stream, streamed, wants_events

PIPELINES = (Task.FEATURE_EXTRACTION, Task.SENTENCE_SIMILARITY)
"""What Hugging Face's clients name in the path, since one model answers both."""


def inference_routes(front: Front) -> list[Route]:
    """The paths of this family."""

    def default(_: Exchange) -> ModelStatus:
        return front.default_model()

    def named(exchange: Exchange) -> ModelStatus:
        return front.model(exchange.request.path_params["name"])

    asks: list[tuple[str, Callable[[Exchange], ModelStatus], Task | None]] = [
        ("/models/{name}", named, None),
        *((f"/models/{{name}}/pipeline/{task}", named, task) for task in PIPELINES),
        ("/", default, None),
        ("/invocations", default, None),
    ]
    return [
        Route(path, Endpoint(front, answering(pick, task)), methods=["POST"])
        for path, pick, task in asks
    ]


def answering(
    pick: Callable[[Exchange], ModelStatus], task: Task | None = None
) -> Callable[[Exchange], Awaitable[Response]]:
    """Answers a request in the shape of its model's task.

    Args:
        pick: finds the model.
        task: what is asked, where the path says it; None: what the body fits.
    """

    async def answer(exchange: Exchange) -> Response:
        model = pick(exchange)
        bodies = model.bodies if task is None else [body_of_task(model, task)]
        exchange.take(model)
        body = parse(bodies, await exchange.body())
        items = body.items()
        if wants_events(exchange.request, body, model):
            return await open_stream(exchange, streamed(items))
        answers = await exchange.ask(items)
        raise_first(answers)
        user_agent = exchange.request.headers.get("user-agent", "")
        return exchange.respond(body.shape_for(user_agent, answers))

    return answer


def body_of_task(model: ModelStatus, task: Task) -> type[Body]:
    """The schema of one kind of request.

    Raises:
        InvalidRequest: the model does not answer it.
    """
    for body in model.bodies:
        if body.task is task:
            return body
    raise InvalidRequest(
        f"{model.name} does not answer {task}; it answers "
        f"{', '.join(body.task for body in model.bodies)} at /models/{model.name}."
    )


def parse(bodies: Sequence[type[Body]], raw: bytes) -> Body:
    """Validate a body; where a model has one schema, in one pass over its bytes.

    Raises:
        InvalidRequest: with sentences that name the fields.
    """
    if len(bodies) == 1:
        try:
            return bodies[0].model_validate_json(raw)
        except ValidationError:
            pass  # the way below finds the fault, or an older client's shape
    content = _json(raw)
    schema = body_for(content, bodies)
    if isinstance(content, dict):
        content = schema.gathered(content)
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        if (
            isinstance(content, dict)
            and "stream" in content
            and "stream" not in schema.model_fields
        ):
            raise InvalidRequest(
                "stream: this model does not generate text, so there is nothing to stream; leave"
                " it out."
            ) from None
        raise explain(schema, content, error) from None


def _json(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as broken:
        raise InvalidRequest(f"The body is not JSON: {broken}.") from None
