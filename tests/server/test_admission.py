"""Limits are exact, refused at once, and say when to come back."""

import asyncio
import time
from typing import Any

import pytest
from starlette.requests import Request

from contracts.errors import InvalidRequest, Overloaded, RequestTooLarge
from contracts.schemas import ClassificationBody
from server.admission import Admission
from server.lanes import Lane
from server.settings import Settings


def request(*parts: bytes, **headers: str) -> Request:
    messages = [
        {"type": "http.request", "body": part, "more_body": number < len(parts) - 1}
        for number, part in enumerate(parts)
    ]

    async def receive() -> Any:
        return messages.pop(0)

    pairs = [(key.replace("_", "-").encode(), value.encode()) for key, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": pairs}, receive)


ADMISSION = Admission(
    Settings(
        max_body_bytes=10, max_items=3, max_characters=20, max_waiting=5, max_generation_waiting=2
    )
)


def test_a_body_at_the_limit_is_read_whole():
    assert asyncio.run(ADMISSION.body(request(b"12345", b"67890"))) == b"1234567890"


@pytest.mark.parametrize(
    "too_large", [request(b"1", content_length="11"), request(b"123456", b"78901")]
)
def test_a_body_above_the_limit_is_refused_announced_or_not(too_large: Request):
    with pytest.raises(RequestTooLarge, match="10 bytes"):
        asyncio.run(ADMISSION.body(too_large))


def items(*texts: str) -> list[Any]:
    return list(ClassificationBody(inputs=list(texts)).items())


def test_items_and_characters_have_limits():
    ADMISSION.items(items("a" * 10, "b" * 5, "c" * 5))
    with pytest.raises(RequestTooLarge, match="4 inputs"):
        ADMISSION.items(items("a", "b", "c", "d"))
    with pytest.raises(RequestTooLarge, match="21 characters"):
        ADMISSION.items(items("a" * 21))


@pytest.mark.parametrize(("lane", "limit"), [(Lane.ENCODING, 5), (Lane.GENERATION, 2)])
def test_each_lane_has_its_own_limit(lane: Lane, limit: int):
    line = ADMISSION.lines[lane]
    for _ in range(limit):
        line.enter(1, time.monotonic() + 9)
    with pytest.raises(Overloaded):
        line.check()
    for _ in range(limit):
        line.leave(1, answered=False)


def test_a_deadline_comes_from_the_header_or_the_settings():
    now = time.monotonic()
    assert ADMISSION.deadline(request(), Lane.ENCODING) == pytest.approx(now + 30, abs=1)
    assert ADMISSION.deadline(request(), Lane.GENERATION) == pytest.approx(now + 120, abs=1)
    for lane in Lane:
        given = ADMISSION.deadline(request(x_request_timeout_ms="250"), lane)
        assert given == pytest.approx(time.monotonic() + 0.25, abs=0.2)


@pytest.mark.parametrize("wrong", ["0", "-1", "soon", "1e3", "99999999"])
def test_a_deadline_that_is_no_number_is_refused(wrong: str):
    with pytest.raises(InvalidRequest, match="x-request-timeout-ms"):
        ADMISSION.deadline(request(x_request_timeout_ms=wrong), Lane.ENCODING)
