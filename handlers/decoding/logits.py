"""What is forbidden or made less likely before a token is chosen.

Each rule is that of transformers' ``logits_process.py`` of the same name, in its order. A rule
changes the scores of one request's rows in place.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from contracts.tensors import Array
from handlers.decoding.settings import Decoding

Rule = Callable[[Sequence[Sequence[int]], Array], None]
"""Takes the tokens of each row so far, start token included, and the scores of their next token,
float32 ``(rows, vocabulary)``."""


def rules_of(decoding: Decoding, source_ids: Sequence[int]) -> list[Rule]:
    """The rules of one request, in the order in which they apply.

    Args:
        decoding: the request's parameters.
        source_ids: what the encoder reads, for rules that look at it.
    """
    rules: list[Rule] = []
    if decoding.encoder_repetition_penalty != 1.0:
        rules.append(_encoder_repetition(decoding.encoder_repetition_penalty, source_ids))
    if decoding.repetition_penalty != 1.0:
        rules.append(_repetition(decoding.repetition_penalty))
    if decoding.frequency_penalty:
        rules.append(_frequency(decoding.frequency_penalty))
    if decoding.no_repeat_ngram_size:
        rules.append(_no_repeat(decoding.no_repeat_ngram_size))
    if decoding.encoder_no_repeat_ngram_size:
        rules.append(_no_repeat_of(decoding.encoder_no_repeat_ngram_size, source_ids))
    bad = [word for word in decoding.bad_words if word not in [(i,) for i in decoding.eos_ids]]
    if bad:
        rules.append(_bad_words(bad))
    if decoding.min_length > 0 and decoding.eos_ids:
        rules.append(_not_below(decoding.min_length, decoding.eos_ids))
    if decoding.forced_bos_id is not None:
        rules.append(_forced_at(1, (decoding.forced_bos_id,)))
    if decoding.forced_eos_ids:
        rules.append(_forced_at(decoding.max_length - 1, decoding.forced_eos_ids))
    if decoding.suppressed:
        rules.append(_suppressed(decoding.suppressed))
    if decoding.suppressed_at_begin:
        begin = 1 if decoding.forced_bos_id is None else 2
        rules.append(_suppressed(decoding.suppressed_at_begin, begin))
    return rules


def _penalised(scores: Array, ids: Array, penalty: float) -> None:
    found = scores[ids]
    scores[ids] = np.where(found < 0, found * np.float32(penalty), found / np.float32(penalty))


def _encoder_repetition(penalty: float, source_ids: Sequence[int]) -> Rule:
    """Tokens of the source are preferred above a penalty of 1 (hence its inverse)."""
    ids = np.unique(np.asarray(source_ids))

    def rule(_: Sequence[Sequence[int]], scores: Array) -> None:
        for row in scores:
            _penalised(row, ids, 1 / penalty)

    return rule


def _repetition(penalty: float) -> Rule:
    def rule(tokens: Sequence[Sequence[int]], scores: Array) -> None:
        for mine, row in zip(tokens, scores, strict=True):
            _penalised(row, np.unique(mine), penalty)

    return rule


def _frequency(penalty: float) -> Rule:
    """text-generation-inference's and OpenAI's: by how often a token was generated."""

    def rule(tokens: Sequence[Sequence[int]], scores: Array) -> None:
        for mine, row in zip(tokens, scores, strict=True):
            for token, times in Counter(mine[1:]).items():
                row[token] -= np.float32(penalty * times)

    return rule


def _no_repeat(size: int) -> Rule:
    def rule(tokens: Sequence[Sequence[int]], scores: Array) -> None:
        for mine, row in zip(tokens, scores, strict=True):
            row[_following(mine, mine, size)] = -np.inf

    return rule


def _no_repeat_of(size: int, source_ids: Sequence[int]) -> Rule:
    def rule(tokens: Sequence[Sequence[int]], scores: Array) -> None:
        for mine, row in zip(tokens, scores, strict=True):
            row[_following(source_ids, mine, size)] = -np.inf

    return rule


def _following(text: Sequence[int], tokens: Sequence[int], size: int) -> list[int]:
    """Tokens that stand in ``text`` behind the last ``size - 1`` of ``tokens``."""
    if len(tokens) + 1 < size:
        return []
    tail = list(tokens[len(tokens) + 1 - size :])
    return [
        text[at + size - 1]
        for at in range(len(text) - size + 1)
        if list(text[at : at + size - 1]) == tail
    ]


def _bad_words(words: Sequence[Sequence[int]]) -> Rule:
    def rule(tokens: Sequence[Sequence[int]], scores: Array) -> None:
        for mine, row in zip(tokens, scores, strict=True):
            for *head, last in words:
                if not head or list(mine[-len(head) :]) == head:
                    row[last] = -np.inf

    return rule


def _not_below(length: int, eos_ids: Sequence[int]) -> Rule:
    def rule(tokens: Sequence[Sequence[int]], scores: Array) -> None:
        if len(tokens[0]) < length:
            scores[:, list(eos_ids)] = -np.inf

    return rule


def _forced_at(length: int, ids: Sequence[int]) -> Rule:
    def rule(tokens: Sequence[Sequence[int]], scores: Array) -> None:
        if len(tokens[0]) == length:
            scores[:] = -np.inf
            scores[:, list(ids)] = 0

    return rule


def _suppressed(ids: Sequence[int], only_at: int | None = None) -> Rule:
    def rule(tokens: Sequence[Sequence[int]], scores: Array) -> None:
        if only_at is None or len(tokens[0]) == only_at:
            scores[:, list(ids)] = -np.inf

    return rule
