"""Which sentences of a document an extractive summary should take, given a person's summary."""

from collections import Counter
from collections.abc import Sequence
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
    wanted = words(summary)
    reference = (Counter(wanted), Counter(pairwise(wanted)))
    pieces = [words(sentence) for sentence in sentences]
    grams = [(Counter(one), Counter(pairwise(one))) for one in pieces]
    chosen: list[int] = []
    held: tuple[Counter[str], Counter[tuple[str, str]]] = (Counter(), Counter())
    best = 0.0
    while len(chosen) < limit:
        gains = [
            (_rouge(reference, (held[0] + one, held[1] + two)), -index)
            for index, (one, two) in enumerate(grams)
            if index not in chosen
        ]
        if not gains or max(gains)[0] <= best:
            break
        best, negative = max(gains)
        chosen.append(-negative)
        one, two = grams[-negative]
        held = (held[0] + one, held[1] + two)
    return sorted(chosen)


def _rouge(
    reference: tuple[Counter[Any], Counter[Any]], held: tuple[Counter[Any], Counter[Any]]
) -> float:
    total = 0.0
    for wanted, claimed in zip(reference, held, strict=True):
        shared = (wanted & claimed).total()
        total += 2 * shared / (wanted.total() + claimed.total()) if shared else 0.0
    return total
