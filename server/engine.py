"""The engine: who runs next, with whom.

One process holds all models of one device. It has no timer: it blocks for the first request, takes
whatever else is there, and while a batch runs the next one gathers in the sockets. ``step`` is the
whole of it.
"""

import logging
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from contracts.errors import BackendFailure, ServingError
from contracts.tensors import Tensors
from handlers.base import Prepared
from handlers.batching import RowQueue
from handlers.pipeline import Pipeline
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

    def __init__(self, hub: Hub, pipelines: dict[str, Pipeline], max_batch_tokens: int) -> None:
        """Serve ``pipelines`` (by ``name@version``) over ``hub``."""
        super().__init__(hub)
        self.pipelines = pipelines
        self._rows: RowQueue[str, Place] = RowQueue(max_batch_tokens)

    def step(self, wait_s: float | None = None) -> None:
        """Receive, tokenise, run one batch, answer; blocks only when there is nothing to do.

        Args:
            wait_s: longest wait for work; None: until some comes.
        """
        idle = not self._waiting and not self._rows
        self._receive(timeout_s=wait_s if idle else 0)
        self._tokenize()
        if self._rows:
            model, padded_tokens, places = self._rows.pop()
            wanted = [place for place in places if not self._over(place.job)]
            if wanted:
                self.hub.flush()  # what is known already does not wait for the batch
                self._run(model, padded_tokens, wanted)
        self.hub.flush()

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
                turn = job.work.deadline + number * ROW_TURN_S
                self._rows.push(model, pipeline.padded_length(place.row), turn, place)
            if not places:
                self._finish(job)

    def _run(self, model: str, padded_tokens: int, places: list[Place]) -> None:
        """Run one batch; when it fails, halve it until the row that breaks it stands alone."""
        pipeline = self.pipelines[model]
        began = time.monotonic()
        for place in places:
            place.job.started = place.job.started or began
        try:
            outputs = pipeline.run([place.row for place in places], padded_tokens)
        except Exception:
            if len(places) > 1:
                middle = len(places) // 2
                self._run(model, padded_tokens, places[:middle])
                self._run(model, padded_tokens, places[middle:])
                return
            request_id = places[0].job.work.request_id
            logger.exception("a row failed", extra={"request_id": request_id, "model": model})
            outputs = [{}]
        seconds = time.monotonic() - began
        for job in {place.job: None for place in places}:
            job.compute_s += seconds
        for place, output in zip(places, outputs, strict=True):
            self._settle(place, output)
        ran = BatchRan(
            model=model,
            rows=len(places),
            real_tokens=sum(len(place.row) for place in places),
            padded_tokens=padded_tokens * len(places),
            compute_s=seconds,
        )
        self.hub.post(places[0].job.connection, ran)  # after the answers: nobody waits for it

    def _settle(self, place: Place, output: Tensors) -> None:
        """Keep one row's output; answer its request when it was the last."""
        job = place.job
        if not output or not all(np.isfinite(array).all() for array in output.values()):
            job.fail_item(place.item)
        else:
            job.outputs[place.item][place.part] = output
        job.rows_left -= 1
        if job.rows_left == 0:
            self._finish(job)

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
