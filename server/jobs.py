"""One request inside the engine: its items, their rows, and what has come back for them."""

from dataclasses import dataclass, field
from typing import Any

from contracts.errors import BackendFailure, ServingError
from contracts.tensors import Tensors
from handlers.base import Prepared
from handlers.tokenization import Row
from server.hub import Connection
from server.messages import Done, Work


@dataclass(slots=True, eq=False)
class Job:
    """A request on its way through the engine."""

    work: Work
    connection: Connection
    prepared: list[Prepared | ServingError] = field(default_factory=list)
    outputs: list[list[Tensors]] = field(default_factory=list)
    rows_left: int = 0
    dropped: bool = False
    started: float = 0.0
    """When its first row began to run, on the monotonic clock."""
    tokenize_s: float = 0.0
    compute_s: float = 0.0
    """Time of the batches that held its rows."""

    def accept(self, prepared: list[Prepared | ServingError], tokenize_s: float) -> list["Place"]:
        """Take the rows of all items; return where each row's output belongs."""
        self.prepared, self.tokenize_s = prepared, tokenize_s
        places = []
        for index, one in enumerate(prepared):
            rows = one.rows if isinstance(one, Prepared) else []
            self.outputs.append([{}] * len(rows))
            places += [Place(self, index, part, row) for part, row in enumerate(rows)]
        self.rows_left = len(places)
        return places

    def fail_item(self, item: int, error: ServingError | None = None) -> None:
        """Let one item end with an error; by default the opaque one."""
        self.prepared[item] = error or BackendFailure()

    def done(self, answers: list[Any]) -> Done:
        """The reply, with the times that the metrics want."""
        prepared = [one for one in self.prepared if isinstance(one, Prepared)]
        started = self.started or self.work.sent
        return Done(
            id=self.work.id,
            answers=answers,
            windows=max((one.windows or len(one.rows) for one in prepared), default=0),
            truncated=any(one.truncated for one in prepared),
            queue_s=max(0.0, started - self.work.sent - self.tokenize_s),
            tokenize_s=self.tokenize_s,
            compute_s=self.compute_s,
            tokens_in=sum(len(row) for one in prepared for row in one.rows),
        )


@dataclass(slots=True, eq=False)
class Place:
    """One row and where its output goes."""

    job: Job
    item: int
    part: int
    row: Row
