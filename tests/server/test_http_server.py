"""The end of the HTTP process: whoever got through the port before it closed is answered."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server.drain import Drain
from server.http_server import HttpServer
from tests.certificates import self_signed

REQUEST = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"


class Ending(Drain):
    """A drain that is over once it has begun, and whose end some callers just precede."""

    def __init__(self, port: int, callers: int) -> None:
        super().__init__(1)
        self._place, self._callers = ("127.0.0.1", port), callers
        self.late: list[socket.socket] = []

    @property
    def over(self) -> bool:
        """In the server's own loop: it cannot accept these before it ends."""
        if self.begun:
            self.late = [socket.create_connection(self._place) for _ in range(self._callers)]
        return self.begun


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await Response("here", headers={"connection": "close"})(scope, receive, send)


@contextlib.contextmanager
def ending(**options: Any) -> Iterator[Ending]:
    """A server whose drain has begun, with callers who have connected and sent nothing yet."""
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        drain = Ending(port.getsockname()[1], callers=9)
        config = uvicorn.Config(app, log_config=None, lifespan="off", **options)
        server = HttpServer(config, drain)
        thread = threading.Thread(target=server.run, args=([port],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        drain.begin()
        while not drain.late:
            time.sleep(0.001)
        yield drain
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture(params=["uvloop", "asyncio"])
def ended(request: pytest.FixtureRequest) -> Iterator[Ending]:
    with ending(loop=request.param) as drain:
        yield drain


def test_callers_in_the_kernels_queue_are_answered_when_the_port_closes(ended: Ending):
    time.sleep(0.1)
    for caller in ended.late:
        with caller:
            caller.settimeout(5)
            caller.sendall(REQUEST)
            assert caller.recv(4096).startswith(b"HTTP/1.1 200 OK")


def test_a_caller_who_says_nothing_holds_the_end_up_for_half_a_second(ended: Ending):
    began = time.monotonic()
    for caller in ended.late:
        with caller:
            caller.settimeout(5)
            assert caller.recv(4096) == b""
    assert time.monotonic() - began < 3


def test_callers_in_the_queue_of_a_tls_port_are_answered_and_a_silent_one_holds_nobody_up(
    tmp_path: Path,
):
    certificate, private = self_signed(tmp_path)
    trusting = ssl.create_default_context(cafile=certificate)
    began = time.monotonic()
    with ending(loop="uvloop", ssl_certfile=certificate, ssl_keyfile=private) as drain:
        silent, noisy, *others = drain.late
        noisy.sendall(b"no handshake")
        for caller in others:
            caller.settimeout(5)
            with trusting.wrap_socket(caller, server_hostname="localhost") as wrapped:
                wrapped.sendall(REQUEST)
                assert wrapped.recv(4096).startswith(b"HTTP/1.1 200 OK")
    silent.close()
    noisy.close()
    assert time.monotonic() - began < 8
