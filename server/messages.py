"""What the HTTP side and the engine say to each other: plain data over a Unix socket.

Frames are a little-endian length and a pickle. Both ends are our own processes, and the socket lies
in a folder that only this user may enter.
"""

import pickle
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from contracts.bodies import bodies_of
from contracts.errors import ServingError
from contracts.schemas import Body
from contracts.tasks import Task
from handlers.batching import Cut
from model_store.version import ModelVersion

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
    turn: float = 0.0
    """When its rows should run, on that clock: the earliest turn goes first; 0: by the deadline."""
    stream: bool = False
    """Whether every token is sent as it comes, as a ``Chunk``; of models that generate."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """The caller is gone or out of time: what has not run is dropped, a stream ends."""

    id: int


@dataclass(frozen=True, slots=True)
class Serve:
    """From now on these are the versions of a model, with these aliases; see ``server/shelf.py``.

    None: the model is not served any more.
    """

    id: int
    name: str
    versions: tuple[ModelVersion, ...]


@dataclass(frozen=True, slots=True)
class Served:
    """A ``Serve`` was followed, and the ``Status`` that tells of it has been sent."""

    id: int
    error: ServingError | None = None
    """Why it was not; then nothing has changed."""


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
    tokens_in: int = 0
    """Of all rows of all items, as the encoder read them: windows that overlap count twice."""
    tokens_out: int = 0
    """Generated, special ones included; 0 of models that do not generate, as all below."""
    first_token_s: float = 0.0
    """From ``Work.sent`` to the first token."""
    per_token_s: float = 0.0
    """Mean time from one token to the next; 0 where there was one at most."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One generated token of a streamed ``Work``; its ``Done`` comes behind the last one.

    The texts of an answer's chunks, joined, are its text: a token that ends inside a character has
    an empty text, and the token that completes the character has all of it.
    """

    id: int
    item: int
    index: int
    """From 1, by item."""
    token: int
    """Its id in the vocabulary."""
    text: str
    logprob: float
    special: bool
    """Not a part of the text, as the token of the end."""
    last: bool = False
    """The ``Done`` follows at once."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """What one model is generating at the moment; told ten times a second at most."""

    model: str
    running_rows: int
    waiting_rows: int
    held_tokens: int
    """Columns of the key-value caches of all running rows."""


@dataclass(frozen=True, slots=True)
class BatchRan:
    """One ``backend.run``."""

    model: str
    rows: int
    real_tokens: int
    padded_tokens: int
    compute_s: float
    cut: Cut


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
    batch_tokens: int = 0
    """Padded tokens of one batch, unless the server was told others."""
    generates: bool = False
    """Whether it writes its answer token by token, and so can stream it."""
    created: int = 0
    """When the version was made, in seconds since 1970."""
    pooling: str | None = None
    """Of models that embed: ``mean``, ``cls``, ...; several with a plus."""

    @property
    def id(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    @property
    def bodies(self) -> tuple[type[Body], ...]:
        """The schemas of what it can be asked; that of its own task first."""
        return bodies_of(Task(self.task), self.labels, generates=self.generates)


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
