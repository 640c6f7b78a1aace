"""The HTTP process: uvicorn, but a signal drains it, and it ends when its parent is gone."""

import asyncio
import contextlib
import gc
import logging
import multiprocessing as mp
import multiprocessing.connection
import socket
import threading
import time
from typing import Any

import uvicorn

from server.drain import GRACE_S, Drain
from server.logs import configure_logging

TICK_S = 0.05


class HttpServer(uvicorn.Server):
    """uvicorn, but a signal starts a drain instead of cutting connections."""

    def __init__(self, config: uvicorn.Config, drain: Drain) -> None:
        super().__init__(config)
        self._drain = drain

    def handle_exit(self, sig: int, frame: Any) -> None:
        """uvicorn: a signal starts the drain; one more changes nothing."""
        self._drain.begin()

    async def on_tick(self, counter: int) -> bool:
        """uvicorn: ten times a second; True ends the server."""
        return await super().on_tick(counter) or self._drain.over

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn: close the port, then answer who came through it in time, then close the rest.

        uvicorn alone would reset the connections that the kernel has made and nobody has accepted
        yet, and cut those whose first request is still on its way.
        """
        ports = [one.dup() for one in sockets or []]
        for server in self.servers:
            server.close()
        for one in sockets or []:
            one.close()
        await asyncio.sleep(TICK_S)  # the loop lets go of its own; callers queue up in the kernel
        loop = asyncio.get_running_loop()
        late = [
            loop.connect_accepted_socket(self._protocol, one, ssl=self.config.ssl or None)
            for port in ports
            for one in _emptied(port)
        ]
        # Each may be gone already, or never end its TLS handshake: that is its own affair.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*late, return_exceptions=True), GRACE_S)
        ends = time.monotonic() + GRACE_S
        while self.server_state.connections and time.monotonic() < ends:
            await asyncio.sleep(TICK_S)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        """What uvicorn makes for each connection that it accepts itself."""
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def _emptied(port: socket.socket) -> list[socket.socket]:
    """Close a port that nobody else holds; those who waited in its queue."""
    found = []
    ends = time.monotonic() + GRACE_S
    with port, contextlib.suppress(OSError):  # nobody waits, or no descriptor is left
        port.setblocking(False)
        while time.monotonic() < ends:
            found.append(port.accept()[0])
    return found


def serve_http(config: uvicorn.Config, drain: Drain, sockets: list[socket.socket]) -> None:
    """Serve until the drain is over; it begins with a signal, or when the parent is gone."""
    configure_logging(logging.getLevelName(logging.getLogger("server").level))
    _die_with_parent(drain)
    gc.freeze()  # routes and schemas stay: collections need not walk them
    HttpServer(config, drain).run(sockets=sockets)


def _die_with_parent(drain: Drain) -> None:
    parent = mp.parent_process()
    assert parent is not None

    def watch() -> None:
        mp.connection.wait([parent.sentinel])
        drain.begin()

    threading.Thread(target=watch, daemon=True, name="parent").start()
