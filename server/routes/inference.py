"""POST /models/{name}, its pipelines, / and /invocations: Hugging Face's shapes, all tasks."""

from collections.abc import Awaitable, Callable

from starlette.responses import Response
from starlette.routing import Route

from contracts.errors import InvalidRequest
from contracts.schemas import Body
from contracts.tasks import Task
from server.exchange import Endpoint, Exchange, raise_first
from server.front import Front
from server.messages import ModelStatus
from server.parsing import parse_any
from server.partial import answer_part, wants_part
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
        raw = await exchange.body()
        if wants_part(exchange.request):
            return await answer_part(exchange, bodies, raw)
        body = parse_any(bodies, raw)
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
