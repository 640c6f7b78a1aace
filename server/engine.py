"""The engine: who runs next, with whom.

One process holds all models of one device. It has no timer: it blocks until something comes, which
is work or a batch that is done; whatever waits then goes to the threads that are free, and while
they run the next batches gather. ``step`` is the whole of it.
"""

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from contracts.errors import BackendFailure, ServingError
from contracts.tensors import Tensors
from handlers.base import Prepared
from handlers.batching import Batch, RowQueue
from handlers.pipeline import Pipeline
from server.crew import Crew, Ran
from server.hub import Hub
from server.intake import Intake, preprocess
from server.jobs import Job, Place
from server.messages import BatchRan

logger = logging.getLogger(__name__)

ROW_TURN_S = 0.005
"""By how much each further row of one request stands behind the one before it: about what a short
row costs. A later request with one text so passes the tail of an earlier one with 200, and the tail
waits for no more than what came within its own time (start-time fair queueing, Goyal 1996)."""


class Engine(Intake[Job]):
    """Receives work, batches rows over requests, answers each request when its rows are done."""

    job_class = Job

    def __init__(
        self,
        hub: Hub,
        pipelines: dict[str, Pipeline],
        *,
        batch_tokens: int | None = None,
        streams: int = 1,
        hang_s: float = math.inf,
    ) -> None:
        """Serve ``pipelines`` (by ``name@version``) over ``hub``.

        Args:
            hub: the sockets.
            pipelines: may change between two steps.
            batch_tokens: padded tokens of one batch; None: what each model is fastest with.
            streams: batches that run at once.
            hang_s: a batch that runs for longer hangs: ``step`` then raises.
        """
        super().__init__(hub)
        self.pipelines = pipelines
        self._batch_tokens = batch_tokens
        self._rows: RowQueue[str, Place] = RowQueue(self._budget)
        self._crew = Crew(streams, hub.wake)
        self._hang_s = hang_s

    @property
    def busy(self) -> bool:
        """Whether anything waits or runs."""
        return bool(self._waiting or self._rows or self._crew.free < self._crew.size)

    def step(self, wait_s: float | None = None) -> None:
        """Receive, answer what is done, tokenise, start batches; blocks while there is no news.

        Args:
            wait_s: longest wait for news; None: until some comes.

        Raises:
            EOFError: the server is gone.
            TimeoutError: a batch hangs; the process has to end.
        """
        ready = self._waiting or (self._rows and self._crew.free)
        self._receive(timeout_s=0 if ready else wait_s)
        for ran in self._crew.take():
            self._settle(ran)
        self._tokenize()
        while self._rows and self._crew.free:
            self._start(self._rows.pop(self._crew.free))
        self.hub.flush()
        if self._crew.longest_s() > self._hang_s:
            raise TimeoutError(f"a batch runs for more than {self._hang_s:g} s")

    def works_on(self, model: str) -> bool:
        """Whether a request of that model is not answered yet, or a batch of it runs."""
        return super().works_on(model) or self._crew.works_on(model)

    def _budget(self, model: str) -> int:
        return self._batch_tokens or self.pipelines[model].batch_tokens

    def _tokenize(self) -> None:
        """Turn waiting requests into rows: one tokenise call per model for all that is taken."""
        for model, jobs in self._take().items():
            self._prepare(model, jobs)

    def _prepare(self, model: str, jobs: Sequence[Job]) -> None:
        pipeline = self.pipelines[model]
        began = time.perf_counter()
        prepared = preprocess(pipeline.handler, [item for job in jobs for item in job.work.items])
        seconds = (time.perf_counter() - began) / len(jobs)
        start = 0
        for job in jobs:
            end = start + len(job.work.items)
            places = job.accept(prepared[start:end], seconds)
            start = end
            for number, place in enumerate(places):
                turn = (job.work.turn or job.work.deadline) + number * ROW_TURN_S
                self._rows.push(model, pipeline.padded_length(place.row), turn, place)
            if not places:
                self._finish(job)

    def _start(self, batch: Batch[str, Place]) -> None:
        """Give a batch to a thread, without the rows that nobody wants any more."""
        wanted = [place for place in batch.items if not self._over(place.job)]
        if wanted:
            self._crew.run(self.pipelines[batch.key], replace(batch, items=wanted))

    def _settle(self, ran: Ran) -> None:
        """Keep each row's output; answer the requests whose last row this was."""
        places = ran.batch.items
        for job in {place.job: None for place in places}:
            job.started = job.started or ran.began
            job.compute_s += ran.seconds
        for place, output in zip(places, ran.outputs, strict=True):
            job = place.job
            if not output or not all(np.isfinite(array).all() for array in output.values()):
                job.fail_item(place.item)
            else:
                job.outputs[place.item][place.part] = output
            job.rows_left -= 1
            if job.rows_left == 0:
                self._finish(job)
        told = BatchRan(
            model=ran.batch.key,
            rows=len(places),
            real_tokens=sum(len(place.row) for place in places),
            padded_tokens=ran.batch.padded_tokens * len(places),
            compute_s=ran.seconds,
            cut=ran.batch.cut,
        )
        self.hub.post(places[0].job.connection, told)  # after the answers: nobody waits for it

    def _finish(self, job: Job) -> None:
        pipeline = self.pipelines[job.work.model]
        answers: list[Any] = []
        for item, prepared, outputs in zip(job.work.items, job.prepared, job.outputs, strict=True):
            answers.append(_postprocess(pipeline, item, prepared, outputs, job))
        self._reply(job, answers)


def _postprocess(
    pipeline: Pipeline,
    item: Any,
    prepared: Prepared | ServingError,
    outputs: Sequence[Tensors],
    job: Job,
) -> Any:
    if isinstance(prepared, ServingError):
        return prepared
    try:
        return pipeline.handler.postprocess(item, prepared, outputs)
    except Exception:
        logger.exception("an answer could not be made", extra={"request_id": job.work.request_id})
        return BackendFailure()
