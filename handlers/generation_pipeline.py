"""One loaded sequence-to-sequence model, for callers without a server: all items at once."""

from collections.abc import Sequence

from contracts.errors import BackendFailure, ServingError
from contracts.generation import Generated, GenerationItem
from handlers.base import Prepared
from handlers.decoding.scheduler import Generation, Scheduler
from handlers.decoding.search import Ended
from handlers.generation import GenerationHandler, Request
from model_store.backends.seq2seq.base import Seq2SeqBackend

DEFAULT_KV_TOKENS = 16_384
"""Tokens whose keys and values may be kept at once: some 32 short summaries."""


class GenerationPipeline:
    """A generation handler around a backend."""

    def __init__(self, handler: GenerationHandler, backend: Seq2SeqBackend) -> None:
        self.handler = handler
        self.backend = backend

    def scheduler(self, max_kv_tokens: int = DEFAULT_KV_TOKENS) -> Scheduler:
        """A new queue and running batch for this model."""
        return Scheduler(
            self.backend,
            max_source_tokens=self.handler.tokenizer.max_tokens,
            pad_id=self.handler.tokenizer.pad_id,
            max_kv_tokens=max_kv_tokens,
        )

    def __call__(
        self, items: Sequence[GenerationItem], max_kv_tokens: int = DEFAULT_KV_TOKENS
    ) -> list[Generated | ServingError]:
        """Answer all items in one running batch; the answer of one never depends on the others.

        Returns:
            One answer or ``ServingError`` per item, in order.
        """
        scheduler = self.scheduler(max_kv_tokens)
        answers: list[Generated | ServingError | None] = [None] * len(items)
        work: dict[int, tuple[Prepared, list[Ended | None]]] = {}

        def start(index: int, prepared: Prepared) -> None:
            work[index] = prepared, [None] * len(prepared.rows)
            for one in generations(prepared, index):
                scheduler.submit(one)

        for index, prepared in enumerate(self.handler.preprocess(items)):
            if isinstance(prepared, ServingError):
                answers[index] = prepared
            else:
                start(index, prepared)
        while scheduler:
            for one in scheduler.step():
                index, part = one.place
                if one.search is None or one.search.broken:
                    answers[index] = BackendFailure()
                    continue
                if one.search.ended is None:
                    continue
                before, outputs = work[index]
                outputs[part] = one.search.ended
                whole = [output for output in outputs if output is not None]
                if len(whole) < len(outputs):
                    continue
                answer = self.handler.postprocess(items[index], before, whole)
                if isinstance(answer, Prepared):
                    start(index, answer)
                else:
                    answers[index] = answer
        return [answer for answer in answers if answer is not None]

    def close(self) -> None:
        """Free the backend."""
        self.backend.close()


def generations(prepared: Prepared, place: object, *, logprobs: bool = False) -> list[Generation]:
    """What the rows of one item ask for; the ``place`` of each is ``(place, row)``."""
    request: Request = prepared.context
    logprobs = logprobs or request.details
    return [
        Generation(row, request.decoding, request.stops, (place, part), logprobs)
        for part, row in enumerate(prepared.rows)
    ]
