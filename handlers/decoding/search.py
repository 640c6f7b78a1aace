"""What decides the next token of one request, whatever it decodes with."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from contracts.tensors import Array
from handlers.decoding.logits import rules_of
from handlers.decoding.randomness import TorchRandom
from handlers.decoding.settings import Decoding
from handlers.decoding.warpers import log_softmax, softmax, warp

FinishReason = Literal["length", "eos_token", "stop_sequence"]
Stops = Callable[[Sequence[int]], bool]
"""Whether the newest of the generated tokens completes a stop string."""


@dataclass(frozen=True, slots=True)
class Ended:
    """One answer.

    Attributes:
        ids: the generated tokens, start token left out, the end token included.
        logprobs: of each, before any rule or warper; empty where nobody asked for them.
        reason: why it ends there.
    """

    ids: list[int]
    logprobs: list[float]
    reason: FinishReason


class Search(ABC):
    """The decoding of one request: ``rows`` rows of a running batch."""

    rows: int
    ended: Ended | None = None
    broken = False
    """Whether the model gave numbers that are none: there is no answer."""

    def __init__(
        self,
        decoding: Decoding,
        source_ids: Sequence[int],
        stops: Stops | None = None,
        *,
        logprobs: bool = False,
    ) -> None:
        """Start before the first token.

        Args:
            decoding: the request's parameters.
            source_ids: what the encoder reads.
            stops: of the request's stop strings; None where it has none.
            logprobs: whether the log probability of each token is wanted: it takes a pass over the
                vocabulary.
        """
        self.decoding = decoding
        self._wants_logprobs = logprobs
        self._rules = rules_of(decoding, source_ids)
        self._stops = stops
        self._random = TorchRandom(decoding.seed or 0) if decoding.do_sample else None

    @property
    @abstractmethod
    def newest(self) -> list[int]:
        """The newest token of each row: what the next step decodes."""

    @abstractmethod
    def advance(self, logits: Array) -> Array | None:
        """Take the logits of the next token and decide.

        Args:
            logits: float32 ``(rows, vocabulary)``; not kept.

        Returns:
            For each row, which row it goes on from; None: each from itself.
        """

    def _scores(self, tokens: Sequence[Sequence[int]], scores: Array) -> Array:
        """Rules and warpers over a copy of the scores."""
        if self._rules or self._random:
            scores = scores.copy()
            for rule in self._rules:
                rule(tokens, scores)
        if self._random:
            scores = warp(scores, self.decoding)
        if self.decoding.renormalize:
            scores = log_softmax(scores)
        return scores

    def _end_of(self, tokens: Sequence[int]) -> FinishReason | None:
        """Why these tokens, start token included, are a whole answer; None where they are not."""
        if tokens[-1] in self.decoding.eos_ids:
            return "eos_token"
        if self._stops is not None and self._stops(tokens[1:]):
            return "stop_sequence"
        return "length" if len(tokens) >= self.decoding.max_length else None


class SingleSearch(Search):
    """Greedy decoding, or sampling: one row."""

    rows = 1

    def __init__(self, decoding: Decoding, *arguments: Any, **options: Any) -> None:
        super().__init__(decoding, *arguments, **options)
        self.tokens = [decoding.start_id]
        self.logprobs: list[float] = []

    @property
    def newest(self) -> list[int]:
        """The newest token."""
        return self.tokens[-1:]

    def advance(self, logits: Array) -> None:
        """Append a token."""
        scores = self._scores([self.tokens], logits)[0]
        if self._random is None:
            token = int(scores.argmax())
        else:
            token = int(self._random.multinomial(softmax(scores))[0])
        if self._wants_logprobs:
            self.logprobs.append(float(log_softmax(logits[0])[token]))
        self.tokens.append(token)
        if reason := self._end_of(self.tokens):
            self.ended = Ended(self.tokens[1:], self.logprobs, reason)
