"""Beam search, as transformers does it: the same hypotheses, scores and moment to stop."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from contracts.tensors import Array
from handlers.decoding.search import Ended, FinishReason, Search
from handlers.decoding.settings import Decoding
from handlers.decoding.warpers import log_softmax, softmax

NEVER = np.float32(-1e9)
"""The score of a beam that must not be chosen."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A beam: its tokens, start token included, with the log probability of each but the first."""

    tokens: list[int]
    logprobs: list[float]

    def then(self, token: int, logprob: float) -> "Hypothesis":
        """One token longer."""
        return Hypothesis([*self.tokens, token], [*self.logprobs, logprob])


class BeamSearch(Search):
    """The best hypotheses of each length go on; the best finished one is the answer."""

    def __init__(self, decoding: Decoding, *arguments: Any, **options: Any) -> None:
        super().__init__(decoding, *arguments, **options)
        self.rows = decoding.num_beams
        self._beams = [Hypothesis([decoding.start_id], [])] * self.rows
        # All beams are equal now: only the first may be continued.
        self._totals = np.full(self.rows, NEVER, np.float32)
        self._totals[0] = 0
        self._finished: list[tuple[np.float32, Hypothesis, FinishReason]] = []
        self._hopeful = True

    @property
    def newest(self) -> list[int]:
        """The newest token of each beam."""
        return [beam.tokens[-1] for beam in self._beams]

    def advance(self, logits: Array) -> Array | None:
        """Continue the best beams, and put away those that end."""
        raw = log_softmax(logits)
        scores = self._scores([beam.tokens for beam in self._beams], raw)
        parents, tokens, totals = self._candidates(scores + self._totals[:, None])
        candidates = [
            self._beams[parent].then(token, float(raw[parent, token]))
            for parent, token in zip(parents.tolist(), tokens.tolist(), strict=True)
        ]
        ends = [self._end_of(candidate.tokens) for candidate in candidates]
        self._put_away(candidates[: self.rows], totals, ends)
        running = np.where([end is not None for end in ends], totals + NEVER, totals)
        chosen = _largest(running, self.rows)
        self._beams = [candidates[index] for index in chosen]
        self._totals = running[chosen]
        if not self._goes_on() or all(end is not None for end in ends):
            _, best, reason = self._finished[0]
            self.ended = Ended(best.tokens[1:], best.logprobs, reason)
        parents = parents[chosen]
        return None if np.array_equal(parents, np.arange(self.rows)) else parents

    def _candidates(self, totals: Array) -> tuple[Array, Array, Array]:
        """Continuations of all beams, best first: beam, token and total score of each.

        There are enough of them that as many as there are beams go on even if the best all end.
        """
        count = max(2, 1 + len(self.decoding.eos_ids)) * self.rows
        flat = totals.reshape(-1)
        if self._random is None:
            chosen = _largest(flat, count)
        else:
            chosen = self._random.multinomial(softmax(flat), count)
        vocabulary = totals.shape[1]
        return chosen // vocabulary, chosen % vocabulary, flat[chosen]

    def _put_away(
        self, best: list[Hypothesis], totals: Array, ends: list[FinishReason | None]
    ) -> None:
        """Keep the best finished hypotheses, by their mean-like score."""
        if len(self._finished) == self.rows and self.decoding.early_stopping is True:
            return
        scores = totals / len(best[0].logprobs) ** self.decoding.length_penalty
        fresh = [
            (score, beam, end)
            for score, beam, end in zip(scores, best, ends[: len(best)], strict=False)
            if end is not None
        ]
        ranked = sorted([*self._finished, *fresh], key=lambda each: each[0], reverse=True)
        self._finished = ranked[: self.rows]

    def _goes_on(self) -> bool:
        """Whether a running beam can still become the answer, by transformers' heuristics."""
        if len(self._finished) < self.rows:
            return True
        if self.decoding.early_stopping is True:
            return False
        penalty = self.decoding.length_penalty
        longest = self.decoding.early_stopping == "never" and penalty > 0
        length = self.decoding.max_new_tokens if longest else len(self._beams[0].logprobs)
        best = self._totals[0] / length**penalty
        return bool(best > self._finished[-1][0])


def _largest(values: Array, count: int) -> Array:
    """Indices of the largest values, largest first."""
    if count >= len(values):
        return np.argsort(-values, kind="stable")
    found = np.argpartition(-values, count - 1)[:count]
    return np.asarray(found[np.argsort(-values[found], kind="stable")])
