"""A generation engine that plays what a text tells it to, over the real sockets.

The input is the script: its words become the tokens of the answer, one per ``STEP_S``; a word in
capitals is an instruction:

``HOLD``     wait until the test says ``release``
``CRASH``    the engine dies: its sockets close
``FULL``     the answer is ``Overloaded``
``BROKEN``   the answer is ``BackendFailure``
``LONG``     the answer is ``InputTooLong``
``LATE``     the answer is ``DeadlineExceeded``
``EOS``      a special token
``LINES``    a token with every character that some client takes for the end of a line
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from contracts.errors import (
    BackendFailure,
    DeadlineExceeded,
    InputTooLong,
    Overloaded,
    ServingError,
)
from contracts.generation import Generated, GenerationParameters
from server.hub import Connection, Hub
from server.messages import (
    Cancel,
    Chunk,
    Decoding,
    Done,
    ModelStatus,
    Ping,
    Pong,
    Status,
    Work,
)

STEP_S = 0.001
LINES = "a\nb\r\n\x0b\x0c\x1c\x85\u2028\u2029c é 🎉"
ERRORS: dict[str, ServingError] = {
    "FULL": Overloaded("The key-value cache is full; try again in 7 s.", 7),
    "BROKEN": BackendFailure("secret"),
    "LONG": InputTooLong(600, 512),
    "LATE": DeadlineExceeded("Too late."),
}


class Crash(Exception):
    """The script says so."""


class StandIn:
    """One scripted engine; ``run`` until it crashes or is closed."""

    def __init__(self, path: Path, models: tuple[ModelStatus, ...]) -> None:
        self.hub = Hub(path)
        self.status = Status(os.getpid(), models)
        self.released = threading.Event()
        self.closing = threading.Event()
        self.cancelled: list[tuple[str, float]] = []
        """Request id and time of each request that was given up."""
        self.works: list[Work] = []
        self._playing: dict[tuple[Connection, int], tuple[Work, Iterator[object]]] = {}

    def run(self) -> None:
        """Step until the end."""
        with suppress(Crash):
            while not self.closing.is_set():
                self.step()
        self.hub.close()

    def step(self) -> None:
        """Receive, and give every running request its next token."""
        for connection, message in self.hub.receive(STEP_S):
            match message:
                case None:
                    self.hub.post(connection, self.status)
                case Work():
                    self.works.append(message)
                    self._playing[connection, message.id] = (message, self._play(message))
                case Cancel():
                    if (entry := self._playing.pop((connection, message.id), None)) is not None:
                        self.cancelled.append((entry[0].request_id, time.monotonic()))
                case Ping():
                    self.hub.post(connection, Pong())
        for (connection, number), (_, script) in list(self._playing.items()):
            message = next(script)
            if message is not None:
                self.hub.post(connection, message)
            if isinstance(message, Done):
                del self._playing[connection, number]
        for connection in self.hub.connections:
            rows = len(self._playing)
            self.hub.post(connection, Decoding("bart@1", rows, 2 * rows, 30 * rows))
        self.hub.flush()

    def _play(self, work: Work) -> Iterator[object]:
        (item, *_) = work.items
        words = item.text.split()
        texts: list[str] = []
        ids: list[int] = []
        for place, word in enumerate(words, 1):
            match word:
                case "HOLD":
                    while not self.released.is_set():
                        yield None
                case "CRASH":
                    raise Crash
                case "FULL" | "BROKEN" | "LONG" | "LATE":
                    yield _done(work, [ERRORS[word]], 0)
                    return
                case _:
                    special = word == "EOS"
                    text = "" if special else LINES if word == "LINES" else f"{word} "
                    texts.append(text)
                    ids.append(len(word))
                    if work.stream:
                        last = place == len(words)
                        yield Chunk(work.id, 0, len(ids), ids[-1], text, -0.5, special, last)
                    else:
                        yield None
        answers = [_answer(work, "".join(texts), len(ids)) for _ in work.items]
        yield _done(work, answers, len(ids))


def _answer(work: Work, text: str, tokens: int) -> Generated:
    answer: Generated = {"summary_text": text, "translation_text": text, "generated_text": text}
    parameters = work.items[0].parameters
    if isinstance(parameters, GenerationParameters) and parameters.details:
        answer["details"] = {
            "finish_reason": "length",
            "generated_tokens": tokens,
            "seed": parameters.seed,
            "prefill": [],
            "tokens": [],
        }
    return answer


def _done(work: Work, answers: list[Any], tokens: int) -> Done:
    read = sum(len(item.text.split()) for item in work.items)
    return Done(work.id, answers, 1, False, 0.001, 0.002, 0.003, read, tokens, 0.25, 0.004)
