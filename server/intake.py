"""What every engine process does, whatever it runs: messages in, answers out, deadlines."""

import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from contracts.errors import BackendFailure, DeadlineExceeded, ServingError, Unavailable
from contracts.schemas import texts_of
from handlers.base import Prepared
from server.hub import Connection, Hub
from server.jobs import Job
from server.messages import Cancel, Ping, Pong, Serve, Status, Work

logger = logging.getLogger(__name__)

AnyJob = TypeVar("AnyJob", bound=Job)

TOKENIZE_CHARACTERS = 200_000
"""Text that one step tokenises before a batch runs: a flood of text cannot hold the device."""

_TOO_LATE = "The answer was not ready within the request's time; send less, or allow more time."


class Intake(Generic[AnyJob]):
    """The requests of one engine, from their arrival to their answer."""

    job_class: type[AnyJob]

    def __init__(self, hub: Hub) -> None:
        """Serve over ``hub``."""
        self.hub = hub
        self.pipelines: dict[str, Any] = {}
        self.orders: deque[tuple[Connection, Serve]] = deque()
        self.status: Status | None = None
        self._waiting: deque[AnyJob] = deque()
        self._jobs: dict[tuple[Connection, int], AnyJob] = {}

    def announce(self, status: Status) -> None:
        """Tell every HTTP process, now and when it connects, how the models are."""
        self.status = status
        for connection in list(self.hub.connections):
            self.hub.post(connection, status)
        self.hub.flush()

    def _receive(self, timeout_s: float | None) -> None:
        for connection, message in self.hub.receive(timeout_s):
            match message:
                case None:
                    if self.status is not None:
                        self.hub.post(connection, self.status)
                case Work():
                    self._accept(self.job_class(message, connection))
                case Serve():
                    self.orders.append((connection, message))
                case Cancel():
                    if (connection, message.id) in self._jobs:
                        self._jobs.pop((connection, message.id)).dropped = True
                case Ping():
                    self.hub.post(connection, Pong())

    def works_on(self, model: str) -> bool:
        """Whether a request of that model is not answered yet."""
        return any(job.work.model == model for job in self._jobs.values())

    def forget(self, model: str) -> Any:
        """Give up a model that nothing works on; returns its pipeline."""
        return self.pipelines.pop(model)

    def _accept(self, job: AnyJob) -> None:
        self._jobs[job.connection, job.work.id] = job
        if job.work.model in self.pipelines:
            self._waiting.append(job)
        else:
            error = Unavailable(f"{job.work.model} is not loaded here; send it again.")
            self._reply(job, [error] * len(job.work.items))

    def _over(self, job: AnyJob) -> bool:
        """Whether nobody waits for this job any more; its deadline is answered here."""
        if not job.dropped and time.monotonic() > job.work.deadline:
            self._reply(job, [DeadlineExceeded(_TOO_LATE)] * len(job.work.items))
        if not job.connection.open:
            self._jobs.pop((job.connection, job.work.id), None)
            job.dropped = True
        return job.dropped

    def _take(self) -> dict[str, list[AnyJob]]:
        """Requests to tokenise now, by model: one call for all that are taken."""
        taken: dict[str, list[AnyJob]] = {}
        characters = 0
        while self._waiting and characters < TOKENIZE_CHARACTERS:
            job = self._waiting.popleft()
            if not self._over(job):
                taken.setdefault(job.work.model, []).append(job)
                characters += sum(map(_characters, job.work.items))
        return taken

    def _reply(self, job: AnyJob, answers: Sequence[Any]) -> None:
        job.dropped = True
        if self._jobs.pop((job.connection, job.work.id), None) is not None:
            self.hub.post(job.connection, job.done(list(answers)))


def preprocess(handler: Any, items: list[Any]) -> list[Prepared | ServingError]:
    """Tokenise all items at once; when that fails, one by one, so that a failure stays its own."""
    try:
        prepared: list[Prepared | ServingError] = handler.preprocess(items)
        return prepared
    except Exception:
        if len(items) == 1:
            logger.exception("an item could not be prepared")
            return [BackendFailure()]
        return [preprocess(handler, [item])[0] for item in items]


def _characters(item: Any) -> int:
    return sum(map(len, texts_of(item)))
