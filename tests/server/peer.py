"""The HTTP side of an engine's socket, by hand."""

import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from server.messages import Unpacker, Work
from server.messages import pack as packed


class Peer:
    """Sends work for one model, and hears what the engine says."""

    def __init__(self, path: Path, model: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(path))
        self.sock.setblocking(False)
        self.model = model
        self.unpacker = Unpacker()
        self.numbers = iter(range(1, 10_000))

    def work(
        self,
        items: Sequence[Any],
        *,
        timeout_s: float = 60,
        now: float | None = None,
        turn: float = 0.0,
        stream: bool = False,
    ) -> int:
        """Send items; returns the number of the request."""
        number, now = next(self.numbers), now or time.monotonic()
        self.send(
            Work(number, f"r{number}", self.model, list(items), now, now + timeout_s, turn, stream)
        )
        return number

    def send(self, message: object) -> None:
        self.sock.sendall(packed(message))

    def heard(self) -> list[Any]:
        """All messages since the last call."""
        try:
            return list(self.unpacker.feed(self.sock.recv(1 << 22)))
        except BlockingIOError:
            return []
