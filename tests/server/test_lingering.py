"""A refusal reaches its caller, though nobody wanted the body."""

import asyncio

import pytest
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from server import lingering
from server.lingering import Lingering

PARTS = [
    {"type": "http.request", "body": b"a", "more_body": True},
    {"type": "http.request", "body": b"b", "more_body": True},
    {"type": "http.request", "body": b"c", "more_body": False},
]


def serve(app: Lingering, *headers: tuple[bytes, bytes], version: str = "1.1") -> list[str]:
    """What happens, in order: a part of the body is read, a message is sent."""
    events: list[str] = []
    parts = iter(PARTS)

    async def receive() -> Message:
        part = next(parts, None)
        if part is None:
            await asyncio.Event().wait()  # as uvicorn does until the caller leaves
        events.append(f"read {part['body'].decode()}")
        return part

    async def send(message: Message) -> None:
        events.append(message["type"].removeprefix("http.response."))

    scope = {"type": "http", "http_version": version, "headers": list(headers), "method": "POST"}
    asyncio.run(asyncio.wait_for(app(scope, receive, send), 10))
    return events


def refusing(status: int = 401, reads: int = 0, **headers: str) -> Lingering:
    """An application that answers after so many parts of the body."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(reads):
            await receive()
        await Response(b"no", status, headers)(scope, receive, send)

    return Lingering(app)


CLOSE = (b"connection", b"close")


@pytest.mark.parametrize("reads", [0, 1, 3])
def test_what_of_the_body_is_left_is_read_before_a_refusal_that_closes(reads: int):
    whole = ["read a", "read b", "read c", "start", "body"]
    assert serve(refusing(reads=reads), CLOSE) == whole
    assert serve(refusing(reads=reads), version="1.0") == whole
    assert serve(refusing(503, reads, connection="close")) == whole


def test_a_body_that_was_read_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lingering, "LINGER_S", 60)
    assert serve(refusing(reads=3), CLOSE)[-2:] == ["start", "body"]


def test_a_connection_that_stays_open_is_not_waited_for():
    assert serve(refusing()) == ["start", "body"]


def test_an_answer_is_not_waited_with():
    assert serve(refusing(200), CLOSE) == ["start", "body"]


def test_a_body_that_waits_to_be_asked_for_is_not_asked_for():
    assert serve(refusing(), CLOSE, (b"expect", b"100-continue")) == ["start", "body"]


def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lingering, "LINGER_S", 0.05)
    monkeypatch.setitem(PARTS[2], "more_body", True)
    assert serve(refusing(), CLOSE) == ["read a", "read b", "read c", "start", "body"]
