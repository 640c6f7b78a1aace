"""What the HTTP side and the engine say to each other: plain data over a Unix socket.

Frames are a little-endian length and a pickle. Both ends are our own processes, and the socket lies
in a folder that only this user may enter.
"""

import pickle
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Work:
    """One HTTP request: its items, all for one model."""

    id: int
    request_id: str
    model: str
    """``name@version``."""
    items: list[Any]
    sent: float
    deadline: float
    """Both on the machine's monotonic clock, in seconds."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """The caller is gone or out of time: work that has not started is dropped."""

    id: int


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there?"""


@dataclass(frozen=True, slots=True)
class Pong:
    """The engine's loop turns."""


@dataclass(frozen=True, slots=True)
class Done:
    """The answers to one ``Work``, one per item (an answer or a ``ServingError``)."""

    id: int
    answers: list[Any]
    windows: int
    truncated: bool
    queue_s: float
    tokenize_s: float
    compute_s: float


@dataclass(frozen=True, slots=True)
class BatchRan:
    """One ``backend.run``."""

    model: str
    rows: int
    real_tokens: int
    padded_tokens: int
    compute_s: float


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One model as the engine sees it."""

    name: str
    version: int
    aliases: tuple[str, ...]
    task: str
    state: Literal["loading", "ready", "refused"]
    reason: str | None = None
    backend: str | None = None
    precision: str | None = None
    device: str | None = None
    max_tokens: int | None = None
    labels: tuple[str, ...] = ()
    bytes: int = 0

    @property
    def id(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Status:
    """The state of every model in one engine; sent on connection and on change."""

    pid: int
    models: tuple[ModelStatus, ...]


def pack(message: object) -> bytes:
    """One frame."""
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(body)) + body


class Unpacker:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Take bytes as they come; yield each message that is complete."""
        self._buffer += data
        start = 0
        while len(self._buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, start)
            end = start + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            yield pickle.loads(memoryview(self._buffer)[start + _LENGTH.size : end])
            start = end
        del self._buffer[:start]
