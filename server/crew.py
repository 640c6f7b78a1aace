"""The threads that run batches, while the engine's own thread receives, tokenises and answers.

A backend lets go of Python's lock while it computes, so the batches of several threads run on
several cores, and everything else goes on beside them. Each thread runs one batch at a time, out of
a queue of its own: of several that wait for one queue, all would wake up for every batch.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from contracts.tensors import Tensors
from handlers.batching import Batch
from handlers.pipeline import Pipeline
from server.jobs import Place

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Ran:
    """A batch that was run."""

    batch: Batch[str, Place]
    outputs: list[Tensors]
    """Per row; empty where the row failed."""
    began: float
    """On the monotonic clock."""
    seconds: float


Inbox = queue.SimpleQueue[tuple[Pipeline, Batch[str, Place]]]
"""Of one thread."""


class Crew:
    """Runs up to ``size`` batches at once."""

    def __init__(self, size: int, wake: Callable[[], None]) -> None:
        """Start the threads.

        Args:
            size: how many.
            wake: called from them whenever a batch is done.
        """
        self._wake = wake
        self._done: queue.SimpleQueue[Ran] = queue.SimpleQueue()
        self._given: dict[int, tuple[str, float, Inbox]] = {}
        """Model, start and thread of each batch that was given and not taken back."""
        self._idle: list[Inbox] = [queue.SimpleQueue() for _ in range(size)]
        """The one whose caches are the warmest last."""
        self.size = size
        for number, inbox in enumerate(self._idle):
            name = f"run-{number}"
            threading.Thread(target=self._work, args=(inbox,), name=name, daemon=True).start()

    @property
    def free(self) -> int:
        """Batches that would run at once."""
        return len(self._idle)

    def works_on(self, model: str) -> bool:
        """Whether a batch of that model was given and not taken back."""
        return any(name == model for name, *_ in self._given.values())

    def longest_s(self) -> float:
        """For how long the oldest batch has been running; 0 without one."""
        began = min((began for _, began, _ in self._given.values()), default=None)
        return 0.0 if began is None else time.monotonic() - began

    def run(self, pipeline: Pipeline, batch: Batch[str, Place]) -> None:
        """Give a batch; there must be a thread ``free``."""
        inbox = self._idle.pop()
        self._given[id(batch)] = (batch.key, time.monotonic(), inbox)
        inbox.put((pipeline, batch))

    def take(self) -> list[Ran]:
        """Take back what is done; does not wait."""
        done = []
        while not self._done.empty():
            ran = self._done.get()
            *_, inbox = self._given.pop(id(ran.batch))
            self._idle.append(inbox)
            done.append(ran)
        return done

    def _work(self, inbox: Inbox) -> None:
        while True:
            pipeline, batch = inbox.get()
            began = time.monotonic()
            outputs = run_rows(pipeline, batch.items, batch.padded_tokens)
            self._done.put(Ran(batch, outputs, began, time.monotonic() - began))
            self._wake()


def run_rows(pipeline: Pipeline, places: list[Place], padded_tokens: int) -> list[Tensors]:
    """Run rows as one batch; when it fails, halve it until the row that breaks it stands alone.

    Returns:
        Per row, its outputs; empty where it failed.
    """
    try:
        return pipeline.run([place.row for place in places], padded_tokens)
    except Exception:
        if len(places) > 1:
            middle = len(places) // 2
            left = run_rows(pipeline, places[:middle], padded_tokens)
            return left + run_rows(pipeline, places[middle:], padded_tokens)
        work = places[0].job.work
        logger.exception("a row failed", extra={"request_id": work.request_id, "model": work.model})
        return [{}]
