"""One request inside the generation engine: its texts, their answers, its stream."""

import time
from dataclasses import dataclass, field, replace
from typing import Any

from contracts.errors import ServingError
from handlers.base import Prepared
from handlers.decoding.search import Ended
from server.jobs import Job
from server.messages import Done


@dataclass(slots=True, eq=False)
class GenerationJob(Job):
    """A request on its way through the generation engine."""

    answers: list[Any] = field(default_factory=list)
    """Per item, its answer or error; None while it is not there."""
    windows: int = 0
    """Passages that the longest document was read in."""
    tokens_in: int = 0
    tokens_out: int = 0
    first_token: float = 0.0
    last_token: float = 0.0
    """When they were there, on the monotonic clock."""

    def moved(self) -> None:
        """Note that a token came."""
        self.tokens_out += 1
        self.last_token = time.monotonic()
        self.first_token = self.first_token or self.last_token

    def begin(self, item: int, prepared: Prepared) -> "Answering":
        """Take the rows of one item: of its text, or of one more pass over its summaries."""
        self.prepared[item] = prepared
        self.windows = max(self.windows, len(prepared.rows))
        self.tokens_in += sum(map(len, prepared.rows))
        return Answering(self, item, prepared, [None] * len(prepared.rows))

    def fail_item(self, item: int, error: ServingError | None = None) -> None:
        """Let one item end with an error; by default the opaque one."""
        Job.fail_item(self, item, error)
        self.answers[item] = self.prepared[item]

    def done(self, answers: list[Any]) -> Done:
        """The reply, with the times that the metrics want."""
        streamed = self.last_token - self.first_token
        return replace(
            Job.done(self, answers),
            windows=self.windows,
            tokens_in=self.tokens_in,
            tokens_out=self.tokens_out,
            first_token_s=max(0.0, self.first_token - self.work.sent),
            per_token_s=streamed / (self.tokens_out - 1) if self.tokens_out > 1 else 0.0,
        )


@dataclass(slots=True, eq=False)
class Answering:
    """One item whose rows decode."""

    job: GenerationJob
    item: int
    prepared: Prepared
    outputs: list[Ended | None]
    text: Any = None
    """The ``TextStream`` of an answer that is told token by token."""
    told: int = 0
    """Tokens that were sent."""

    @property
    def whole(self) -> list[Ended] | None:
        """The outputs of all rows, once they are there."""
        found = [output for output in self.outputs if output is not None]
        return found if len(found) == len(self.outputs) else None
