"""What may come in: limits of one request, and of all that wait."""

import time
from typing import Any

from starlette.requests import Request

from contracts.errors import InvalidRequest, RequestTooLarge
from contracts.schemas import inputs_of, texts_of
from server.lanes import Lane
from server.line import Line
from server.settings import Settings

TIMEOUT_HEADER = "x-request-timeout-ms"


class Admission:
    """Refuses before the queue, at once, and says when to come back."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.lines = {
            Lane.ENCODING: Line(settings.max_waiting),
            Lane.GENERATION: Line(settings.max_generation_waiting),
        }

    async def body(self, request: Request) -> bytes:
        """Read the body.

        Raises:
            RequestTooLarge: it is above ``max_body_bytes``; the rest is not read.
        """
        limit = self._settings.max_body_bytes
        announced = request.headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > limit:
            raise _body_too_large(limit)
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise _body_too_large(limit)
            parts.append(part)
        return b"".join(parts)

    def items(self, items: list[Any]) -> int:
        """Check how much one request asks for.

        Returns:
            The characters of all its texts.

        Raises:
            RequestTooLarge: too many inputs or characters.
        """
        inputs = sum(map(inputs_of, items))
        if inputs > self._settings.max_items:
            raise RequestTooLarge(
                f"The request has {inputs} inputs; at most {self._settings.max_items} are taken"
                " at once: send several requests."
            )
        characters = sum(len(text) for item in items for text in texts_of(item))
        if characters > self._settings.max_characters:
            raise RequestTooLarge(
                f"The request has {characters} characters; at most"
                f" {self._settings.max_characters} are taken at once."
            )
        return characters

    def deadline(self, request: Request, lane: Lane) -> float:
        """When the whole answer must be there, on the monotonic clock.

        Raises:
            InvalidRequest: the header is not a number of milliseconds.
        """
        given = request.headers.get(TIMEOUT_HEADER)
        if given is None:
            generates = lane is Lane.GENERATION
            settings = self._settings
            seconds = settings.generation_timeout_s if generates else settings.timeout_s
            return time.monotonic() + seconds
        if not given.isdecimal() or not 1 <= int(given) <= 3_600_000:
            raise InvalidRequest(f"{TIMEOUT_HEADER}: {given!r} is not 1 to 3600000 milliseconds.")
        return time.monotonic() + int(given) / 1000


def _body_too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"The body has more than {limit} bytes; send several requests.")
