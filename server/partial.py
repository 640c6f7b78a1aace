"""Answers with errors among them: what a list gives when its caller asks for what can be had.

By default one bad input fails its whole list. With ``x-partial-results: true`` the answer is 200,
and the place of an input that failed holds ``{"error", "error_type", "request_id"}``.
"""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from contracts.errors import InvalidRequest, ServingError
from contracts.schemas import Body
from server.errors import error_body
from server.exchange import Exchange, raise_first
from server.parsing import parse_json, schema_of, validate

PARTIAL_HEADER = "x-partial-results"


def wants_part(request: Request) -> bool:
    """Whether the caller takes errors among the answers.

    Raises:
        InvalidRequest: the header says neither true nor false.
    """
    given = request.headers.get(PARTIAL_HEADER)
    if given is None or given.lower() == "false":
        return False
    if given.lower() != "true":
        raise InvalidRequest(f"{PARTIAL_HEADER}: {given!r} is neither true nor false.")
    return True


async def answer_part(exchange: Exchange, bodies: Sequence[type[Body]], raw: bytes) -> Response:
    """Answer each input of a list that can be answered.

    Raises:
        ServingError: ``inputs`` is no list, or what is wrong concerns all of them.
    """
    schema, content = schema_of(parse_json(raw), bodies)
    inputs = content.get("inputs") if isinstance(content, dict) else None
    user_agent = exchange.request.headers.get("user-agent", "")
    if not isinstance(inputs, list) or not inputs:
        body = validate(schema, content)
        answers = await exchange.ask(body.items())
        raise_first(answers)
        return exchange.respond(body.shape_for(user_agent, answers))
    if content.get("stream"):
        raise InvalidRequest(f"stream: with {PARTIAL_HEADER} nothing is streamed; leave it out.")
    outcomes: list[Any] = [_fault(schema, content, place) for place in range(len(inputs))]
    good = [place for place, fault in enumerate(outcomes) if fault is None]
    if not good:
        raise _whole_fault(schema, content)
    body = validate(schema, {**content, "inputs": [inputs[place] for place in good]})
    answers = await exchange.ask(body.items())
    for place, answer in zip(good, answers, strict=True):
        if isinstance(answer, ServingError):
            answer.place = f"inputs[{place}]"
            outcomes[place] = answer
    answered = [place for place in good if outcomes[place] is None]
    if answered:
        kept = validate(schema, {**content, "inputs": [inputs[place] for place in answered]})
        shaped = kept.shape_for(
            user_agent, [one for one in answers if not isinstance(one, ServingError)]
        )
        for place, one in zip(answered, shaped, strict=True):
            outcomes[place] = one
    exchange.failed_items = len(inputs) - len(answered)
    return exchange.respond(
        [
            error_body(one, exchange.request_id) if isinstance(one, ServingError) else one
            for one in outcomes
        ]
    )


def _whole_fault(schema: type[Body], content: Any) -> ServingError:
    """The error of a body in which nothing can be answered."""
    try:
        validate(schema, content)
    except ServingError as error:
        return error
    return InvalidRequest("No input can be read.")


def _fault(schema: type[Body], content: dict[str, Any], place: int) -> InvalidRequest | None:
    """What is wrong with one input alone."""
    try:
        validate(schema, {**content, "inputs": [content["inputs"][place]]})
    except InvalidRequest as error:
        return InvalidRequest(str(error).replace("inputs[0]", f"inputs[{place}]"))
    return None
