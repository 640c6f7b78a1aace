"""The engine of models that generate: one token a step, for everything that runs.

It is a process of its own, so that a long answer never stands before a classification. Requests
join the running batch of their model between two steps and leave it with their last token; callers
that left and deadlines that passed are noticed between two steps as well.
"""

import logging
import time
from collections.abc import Sequence
from typing import Any

from contracts.errors import BackendFailure, Overloaded, RequestTooLarge, ServingError
from contracts.generation import Generated, Token
from handlers.base import Prepared
from handlers.decoding.scheduler import Generation, Scheduler
from handlers.decoding.search import Ended, SingleSearch
from handlers.generation_pipeline import GenerationPipeline, generations
from server.generation_jobs import Answering, GenerationJob
from server.hub import Hub
from server.intake import Intake, preprocess
from server.messages import Chunk, Decoding

logger = logging.getLogger(__name__)

WAITING = 8
"""Work may wait that would fill the cache so many times; beyond, the answer is 429."""

TOLD_EVERY_S = 0.1
"""How often the gauges of a model are sent."""


class GenerationEngine(Intake[GenerationJob]):
    """Receives work, decodes for all of it at once, answers or streams."""

    job_class = GenerationJob

    def __init__(
        self, hub: Hub, pipelines: dict[str, GenerationPipeline], max_kv_bytes: int
    ) -> None:
        """Serve ``pipelines`` over ``hub``.

        Args:
            hub: the socket.
            pipelines: by ``name@version``; may be filled while it runs.
            max_kv_bytes: memory for the keys and values of each model.
        """
        super().__init__(hub)
        self.pipelines = pipelines
        self.max_kv_bytes = max_kv_bytes
        self._schedulers: dict[str, Scheduler] = {}
        self._told: dict[str, float] = {}
        self._token_s = 0.0
        """Mean time of a step by reserved token; exponentially weighted."""

    def step(self, wait_s: float | None = None) -> None:
        """Receive, tokenise, decode one token everywhere, answer; blocks with nothing to do.

        Args:
            wait_s: longest wait for work; None: until some comes.
        """
        busy = self._waiting or any(self._schedulers.values())
        self._receive(timeout_s=0 if busy else wait_s)
        for model, jobs in self._take().items():
            self._prepare(model, jobs)
        self._drop()
        for model, scheduler in self._schedulers.items():
            if scheduler:
                self._decode(model, scheduler)
                self._tell(model, scheduler)
        self.hub.flush()

    def forget(self, model: str) -> Any:
        """Give up a model that nothing works on; returns its pipeline."""
        self._schedulers.pop(model, None)
        self._told.pop(model, None)
        return super().forget(model)

    def _prepare(self, model: str, jobs: Sequence[GenerationJob]) -> None:
        handler = self.pipelines[model].handler
        began = time.perf_counter()
        prepared = preprocess(handler, [item for job in jobs for item in job.work.items])
        seconds = (time.perf_counter() - began) / len(jobs)
        start = 0
        for job in jobs:
            end = start + len(job.work.items)
            job.tokenize_s = seconds
            job.prepared = prepared[start:end]
            job.answers = [one if isinstance(one, ServingError) else None for one in job.prepared]
            start = end
            refused = self._refused(model, job)
            if refused is not None:
                self._reply(job, [refused] * len(job.answers))
                continue
            for item, one in enumerate(job.prepared):
                if isinstance(one, Prepared):
                    self._submit(model, job.begin(item, one))
            self._finish(job)

    def _scheduler(self, model: str) -> Scheduler:
        if model not in self._schedulers:
            pipeline = self.pipelines[model]
            tokens = self.max_kv_bytes // pipeline.backend.kv_bytes_per_token
            self._schedulers[model] = pipeline.scheduler(max(1, tokens))
        return self._schedulers[model]

    def _refused(self, model: str, job: GenerationJob) -> ServingError | None:
        """Why this job cannot even wait."""
        scheduler = self._scheduler(model)
        new = [
            one.reserved_tokens
            for prepared in job.prepared
            if isinstance(prepared, Prepared)
            for one in generations(prepared, None)
        ]
        limit = scheduler.max_kv_tokens
        if new and max(new) > limit:
            return RequestTooLarge(
                f"The answer may need a cache of {max(new)} tokens (beams times source and answer)"
                f" and the server has {limit}: ask for fewer max_new_tokens or num_beams, or start"
                " it with a larger --kv-cache-mb."
            )
        waiting = scheduler.reserved_tokens
        if waiting and waiting + sum(new) > limit * (1 + WAITING):
            seconds = min(60, max(1, round(self._token_s * waiting)))
            return Overloaded(
                f"Answers of {waiting} tokens wait already; try again in {seconds} s.", seconds
            )
        return None

    def _submit(self, model: str, answering: Answering) -> None:
        job = answering.job
        if job.work.stream and len(answering.outputs) == 1:
            handler = self.pipelines[model].handler
            answering.text = handler.stream(job.work.items[answering.item])
        for one in generations(answering.prepared, answering, logprobs=job.work.stream):
            self._scheduler(model).submit(one)

    def _drop(self) -> None:
        """Free the rows of jobs that nobody waits for."""
        for job in list(self._jobs.values()):
            self._over(job)
        for model, scheduler in self._schedulers.items():
            gone = [one for one in scheduler.generations if one.place[0].job.dropped]
            if gone:
                scheduler.cancel(gone)
                self._tell(model, scheduler)

    def _decode(self, model: str, scheduler: Scheduler) -> None:
        began = time.monotonic()
        reserved = scheduler.reserved_tokens
        try:
            moved = scheduler.step()
        except Exception:
            self._part(scheduler)
            return
        now = time.monotonic()
        self._token_s += 0.05 * ((now - began) * len(moved) / max(1, reserved) - self._token_s)
        jobs = set()
        for one in moved:
            answering, part = one.place
            job = answering.job
            jobs.add(job)
            job.started = job.started or began
            job.moved()
            assert one.search is not None
            if one.search.broken:
                self._break(one)
                continue
            self._stream(model, one, answering)
            if one.search.ended is not None:
                answering.outputs[part] = one.search.ended
                self._settle(model, answering)
        for job in jobs:
            job.compute_s += now - began
            self._finish(job)

    def _part(self, scheduler: Scheduler) -> None:
        """A step failed: what ran decodes again, each alone, so that one row fails alone.

        Decoding is repeatable, seeds included: a stream goes on behind what it told already.
        """
        running = scheduler.evict()
        if len(running) <= 1:
            logger.exception("a row failed")
        for one in running:
            if one.alone or len(running) == 1:
                self._break(one)
                self._finish(one.place[0].job)
                continue
            one.alone = True
            answering = one.place[0]
            if answering.text is not None:
                handler = self.pipelines[answering.job.work.model].handler
                answering.text = handler.stream(answering.job.work.items[answering.item])
            scheduler.submit(one)

    def _break(self, one: Generation) -> None:
        """Let the item of a failed row end with an error, and its other rows with it."""
        answering: Answering = one.place[0]
        job = answering.job
        logger.error("a row gave no answer", extra={"request_id": job.work.request_id})
        job.fail_item(answering.item)

    def _stream(self, model: str, one: Generation, answering: Answering) -> None:
        """Send the newest token of an answer that is told as it comes."""
        search = one.search
        if answering.text is None or not isinstance(search, SingleSearch):
            return
        handler = self.pipelines[model].handler
        token = search.newest[0]
        text = answering.text.push(token)
        if search.ended is not None:
            text += answering.text.finish()
        told = handler.token(token, text, search.logprobs[-1])
        self._send(answering, len(search.tokens) - 1, told, last=search.ended is not None)

    def _send(self, answering: Answering, index: int, token: Token, *, last: bool) -> None:
        if index <= answering.told:
            return  # told before a step failed
        answering.told = index
        job = answering.job
        chunk = Chunk(
            id=job.work.id,
            item=answering.item,
            index=index,
            token=token["id"],
            text=token["text"],
            logprob=token["logprob"],
            special=token["special"],
            last=last,
        )
        self.hub.post(job.connection, chunk)

    def _settle(self, model: str, answering: Answering) -> None:
        """All rows of an item ended: its answer, or one more pass."""
        job, outputs = answering.job, answering.whole
        if outputs is None or job.answers[answering.item] is not None:
            return
        handler = self.pipelines[model].handler
        item = job.work.items[answering.item]
        answer: Generated | Prepared | ServingError
        try:
            answer = handler.postprocess(item, answering.prepared, outputs)
        except Exception:
            logger.exception(
                "an answer could not be made", extra={"request_id": job.work.request_id}
            )
            answer = BackendFailure()
        if isinstance(answer, Prepared):
            self._submit(model, job.begin(answering.item, answer))
            return
        job.answers[answering.item] = answer
        if job.work.stream and not answering.told and not isinstance(answer, ServingError):
            self._tell_whole(answering, outputs, answer["generated_text"], handler)

    def _tell_whole(
        self, answering: Answering, outputs: list[Ended], text: str, handler: Any
    ) -> None:
        """Stream what was not known before its end: beams, and answers of several passages."""
        pairs = [pair for one in outputs for pair in zip(one.ids, one.logprobs, strict=True)]
        for index, (id, logprob) in enumerate(pairs, 1):
            last = index == len(pairs)
            token = handler.token(id, text if last else "", logprob)
            self._send(answering, index, token, last=last)

    def _finish(self, job: GenerationJob) -> None:
        if not job.dropped and all(answer is not None for answer in job.answers):
            self._reply(job, job.answers)

    def _tell(self, model: str, scheduler: Scheduler) -> None:
        """Send the gauges now and then, and when nothing runs any more."""
        now = time.monotonic()
        if scheduler and now - self._told.get(model, 0.0) < TOLD_EVERY_S:
            return
        self._told[model] = now
        state = Decoding(
            model=model,
            running_rows=scheduler.running_rows,
            waiting_rows=scheduler.waiting,
            held_tokens=scheduler.running_tokens,
        )
        for connection in list(self.hub.connections):
            self.hub.post(connection, state)
