"""What each model has done, in the counters that Triton's clients ask for."""

import time
from dataclasses import dataclass, field

from server.messages import BatchRan, Done


@dataclass(slots=True)
class Spent:
    """How often something was done, and how long that took."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        self.count += 1
        self.seconds += seconds


@dataclass(slots=True)
class ModelStatistics:
    """Of one version since this HTTP process started."""

    items: int = 0
    """Inputs answered."""
    batches: int = 0
    """Runs of the backend that this process was told of."""
    last: float = 0.0
    """When the last request ended, in seconds since 1970."""
    success: Spent = field(default_factory=Spent)
    fail: Spent = field(default_factory=Spent)
    queue: Spent = field(default_factory=Spent)
    tokenize: Spent = field(default_factory=Spent)
    compute: Spent = field(default_factory=Spent)
    kept: Spent = field(default_factory=Spent)
    """Requests whose answer had been given before; among ``success``, and not in the others."""


class Statistics:
    """By ``name@version``."""

    def __init__(self) -> None:
        self._models: dict[str, ModelStatistics] = {}

    def of(self, model: str) -> ModelStatistics:
        """The counters of one version; they go on counting."""
        return self._models.setdefault(model, ModelStatistics())

    def answered(self, model: str, status: int, total_s: float, done: Done | None) -> None:
        """Count one request; see ``Metrics.answered``."""
        one = self.of(model)
        one.last = time.time()
        if status >= 400:
            one.fail.add(total_s)
            return
        one.success.add(total_s)
        if done is None:
            one.kept.add(total_s)
            return
        one.items += len(done.answers)
        one.queue.add(done.queue_s)
        one.tokenize.add(done.tokenize_s)
        one.compute.add(done.compute_s)

    def batch_ran(self, ran: BatchRan) -> None:
        """Count one batch."""
        self.of(ran.model).batches += 1
