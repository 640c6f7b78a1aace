"""Who decodes now and who waits: admission into the running batch of one model.

Rows join between two steps, in order of arrival, as soon as the cache has room for all they may
need: what runs is never thrown out again. The first that waits is never passed, so none starves.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from contracts.tensors import IDS
from handlers.batching import plan_batches
from handlers.decoding.running import RunningBatch, search_for
from handlers.decoding.search import Search, Stops
from handlers.decoding.settings import Decoding
from handlers.tokenization import Row
from model_store.backends.seq2seq.base import Seq2SeqBackend

ENCODED_TOKENS = 2048
"""Padded tokens that are encoded between two steps: what runs does not wait for longer."""


@dataclass(slots=True, eq=False)
class Generation:
    """One text that is decoded.

    Attributes:
        row: what the encoder reads.
        decoding: its parameters.
        stops: of its stop strings.
        place: the caller's own.
        logprobs: whether the log probabilities of its tokens are wanted.
        search: its decoding, once it runs; ``search.ended`` is the result.
        alone: whether it must not share a batch: one that it was in has failed.
    """

    row: Row
    decoding: Decoding
    stops: Stops | None
    place: Any
    logprobs: bool = False
    search: Search | None = None
    alone: bool = False

    @property
    def reserved_tokens(self) -> int:
        """Cache that it may need: each beam keeps its source and its answer."""
        return self.decoding.num_beams * (len(self.row) + self.decoding.max_length)


class Scheduler:
    """The queue and the running batch of one model."""

    def __init__(
        self, backend: Seq2SeqBackend, *, max_source_tokens: int, pad_id: int, max_kv_tokens: int
    ) -> None:
        """Start empty.

        Args:
            backend: that decodes.
            max_source_tokens: the longest row it reads.
            pad_id: fills up rows for the encoder.
            max_kv_tokens: reserved tokens that may run at once; one generation always may.
        """
        self._backend = backend
        self._max_source_tokens = max_source_tokens
        self._pad_id = pad_id
        self.max_kv_tokens = max_kv_tokens
        self._batch = RunningBatch(backend)
        self._waiting: deque[Generation] = deque()
        self._running: dict[Search, Generation] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting or self._running)

    @property
    def generations(self) -> list[Generation]:
        """All that wait or run."""
        return [*self._waiting, *self._running.values()]

    @property
    def waiting(self) -> int:
        """Generations that wait."""
        return len(self._waiting)

    @property
    def running_rows(self) -> int:
        """Rows that decode."""
        return len(self._batch)

    @property
    def held_bytes(self) -> int:
        """Memory of the key-value caches."""
        return self._batch.held_bytes

    @property
    def running_tokens(self) -> int:
        """Cache reserved by what runs."""
        return sum(one.reserved_tokens for one in self._running.values())

    @property
    def reserved_tokens(self) -> int:
        """Cache reserved by what runs and what waits."""
        return self.running_tokens + sum(one.reserved_tokens for one in self._waiting)

    def submit(self, generation: Generation) -> None:
        """Let it wait for its turn."""
        self._waiting.append(generation)

    def cancel(self, gone: Sequence[Generation]) -> None:
        """Forget generations that nobody waits for, wherever they are."""
        lost = set(gone)
        self._waiting = deque(one for one in self._waiting if one not in lost)
        searches = [search for search, one in self._running.items() if one in lost]
        if searches:
            self._batch.drop(searches)
            for search in searches:
                del self._running[search]

    def evict(self) -> list[Generation]:
        """Stop all that runs, for a batch that failed; each may be submitted again, from its start.

        Returns:
            What ran, in the order in which it joined.
        """
        running = list(self._running.values())
        self._running = {}
        self._batch = RunningBatch(self._backend)
        for one in running:
            one.search = None
        return running

    def step(self) -> list[Generation]:
        """Admit what fits, then decode one token in every row.

        Returns:
            The generations that moved; those with ``search.ended``, or broken, have left.

        Raises:
            Exception: the backend's; see ``evict``.
        """
        self._admit()
        moved = list(self._running.values())
        if moved:
            self._batch.step()
        self._running = {search: self._running[search] for search in self._batch.searches}
        return moved

    def _admit(self) -> None:
        fresh: list[Generation] = []
        reserved, tokens = self.running_tokens, 0
        while self._waiting:
            one = self._waiting[0]
            reserved += one.reserved_tokens
            tokens += self._padded(one)
            others = [*fresh, *self._running.values()]
            if others and (one.alone or others[-1].alone or not self._backend.batchable):
                break
            if others and reserved > self.max_kv_tokens:
                break
            if fresh and tokens > ENCODED_TOKENS:
                break
            fresh.append(self._waiting.popleft())
        lengths = [self._padded(one) for one in fresh]
        for batch in plan_batches(lengths, ENCODED_TOKENS):
            self._encode([fresh[index] for index in batch], lengths[batch[0]])

    def _encode(self, fresh: list[Generation], padded_tokens: int) -> None:
        shape = (len(fresh), padded_tokens)
        ids, mask = np.full(shape, self._pad_id, dtype=IDS), np.zeros(shape, dtype=IDS)
        for index, one in enumerate(fresh):
            ids[index, : len(one.row)] = one.row.input_ids
            mask[index, : len(one.row)] = 1
        source = self._backend.encode({"input_ids": ids, "attention_mask": mask})
        for index, one in enumerate(fresh):
            kind = search_for(one.decoding)
            one.search = kind(one.decoding, one.row.input_ids, one.stops, logprobs=one.logprobs)
            self._batch.add(source, index, one.search)
            self._running[one.search] = one

    def _padded(self, one: Generation) -> int:
        return source_length(len(one.row), self._max_source_tokens)


def source_length(tokens: int, max_tokens: int) -> int:
    """The length a source is padded to: 16, 32, 64, ... 512, then multiples of 512.

    Few lengths: every change of the longest one moves the caches of all that run.

    Args:
        tokens: the source's own length, >= 1.
        max_tokens: what the model accepts; never passed, unless the source already does.
    """
    length = -(-tokens // 512) * 512 if tokens > 512 else max(16, 1 << (tokens - 1).bit_length())
    return max(tokens, min(length, max_tokens))
