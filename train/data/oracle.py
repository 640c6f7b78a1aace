"""Which sentences of a document an extractive summary should take, given a person's summary."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from train.scores import words


def oracle(sentences: Sequence[str], summary: str, limit: int = 8) -> list[int]:
    """Take, one by one, the sentence that raises ROUGE-1 + ROUGE-2 most (BERTSUM's greedy oracle).

    Args:
        sentences: of the document.
        summary: what a person wrote.
        limit: sentences at most.

    Returns:
        Indices in the order of the document; empty where no sentence shares a word.
    """
    references, grams = _counted(sentences, summary)
    held = [NOTHING, NOTHING]
    chosen: list[int] = []
    best = 0.0
    while len(chosen) < limit:
        gains = [
            (sum(map(_rouge, references, held, mine)), -index)
            for index, mine in enumerate(grams)
            if index not in chosen
        ]
        if not gains or max(gains)[0] <= best:
            break
        best, negative = max(gains)
        chosen.append(-negative)
        held = [
            _grams(one.shared + more.shared, one.total + more.total, reference)
            for one, more, reference in zip(held, grams[-negative], references, strict=True)
        ]
    return sorted(chosen)


def nearness(sentences: Sequence[str], summary: str) -> list[float]:
    """How near each sentence alone comes to a person's summary.

    Returns:
        ROUGE-1 + ROUGE-2 of each over that of the nearest one: in [0, 1]; all 0 where no sentence
        shares a word.
    """
    references, grams = _counted(sentences, summary)
    found = [sum(map(_rouge, references, [NOTHING, NOTHING], mine)) for mine in grams]
    best = max(found, default=0.0) or 1.0
    return [one / best for one in found]


@dataclass(frozen=True, slots=True)
class _Grams:
    """Words (or pairs of them) of some sentences."""

    shared: Counter[Any]
    """Those that the summary has too."""
    total: int
    """All of them."""
    overlap: int
    """The size of ``shared``, where no gram counts more often than the summary has it."""


NOTHING = _Grams(Counter(), 0, 0)


def _counted(
    sentences: Sequence[str], summary: str
) -> tuple[list[Counter[Any]], list[tuple[_Grams, _Grams]]]:
    """Words and pairs of words: of the summary, and of each sentence."""
    wanted = words(summary)
    references: list[Counter[Any]] = [Counter(wanted), Counter(pairwise(wanted))]
    pieces = [words(sentence) for sentence in sentences]
    # Only what the summary has can raise a score; of the rest, the number matters.
    grams = [
        (_known(one, references[0]), _known(list(pairwise(one)), references[1])) for one in pieces
    ]
    return references, grams


def _known(grams: Sequence[Any], reference: Counter[Any]) -> _Grams:
    known = Counter(gram for gram in grams if gram in reference)
    return _grams(known, len(grams), reference)


def _grams(shared: Counter[Any], total: int, reference: Counter[Any]) -> _Grams:
    return _Grams(shared, total, (shared & reference).total())


def _rouge(reference: Counter[Any], held: _Grams, more: _Grams) -> float:
    shared = held.overlap
    for gram, count in more.shared.items():
        limit, before = reference[gram], held.shared[gram]
        shared += min(limit, before + count) - min(limit, before)
    total = reference.total() + held.total + more.total
    return 2 * shared / total if shared else 0.0
