"""Scores by their usual definitions. All are between 0 and 1."""

import re
import string
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

from handlers.sentences import CJK

_WORD = re.compile(rf"[{CJK}]|[^\W_{CJK}]+")
"""A Chinese or Japanese character, or a run of letters and digits."""


def words(text: str) -> list[str]:
    """Lower-case words; each Chinese or Japanese character is a word of its own."""
    return _WORD.findall(text.lower())


def f1(right: float, found: float, wanted: float) -> float:
    """Harmonic mean of precision and recall; 0 where both are."""
    return 2 * right / (found + wanted) if right else 0.0


def accuracy(truth: Sequence[Hashable], found: Sequence[Hashable]) -> float:
    """Share of equal entries."""
    return sum(a == b for a, b in zip(truth, found, strict=True)) / max(1, len(truth))


def set_scores(truth: Sequence[set[str]], found: Sequence[set[str]]) -> dict[str, float]:
    """Micro and macro F1 and exact matches of label sets.

    Macro F1 is the plain mean over the labels that occur in truth or answers, as scikit-learn's.
    """
    right, claimed, wanted = Counter[str](), Counter[str](), Counter[str]()
    for one, other in zip(truth, found, strict=True):
        right.update(one & other)
        claimed.update(other)
        wanted.update(one)
    names = claimed.keys() | wanted.keys()
    each = [f1(right[name], claimed[name], wanted[name]) for name in names]
    return {
        "accuracy": accuracy([frozenset(one) for one in truth], [frozenset(one) for one in found]),
        "micro_f1": f1(right.total(), claimed.total(), wanted.total()),
        "macro_f1": sum(each) / max(1, len(each)),
    }


def span_scores(
    truth: Sequence[Iterable[Hashable]], found: Sequence[Iterable[Hashable]]
) -> dict[str, float]:
    """Micro precision, recall and F1 of spans that must match exactly, label included (CoNLL)."""
    right = claimed = wanted = 0
    for one, other in zip(truth, found, strict=True):
        gold, answer = set(one), set(other)
        right += len(gold & answer)
        claimed += len(answer)
        wanted += len(gold)
    return {
        "entity_f1": f1(right, claimed, wanted),
        "precision": right / claimed if claimed else 0.0,
        "recall": right / wanted if wanted else 0.0,
    }


def answer_scores(answers: Sequence[str], found: str) -> tuple[float, float]:
    """Exact match and F1 of one answer against the best of several (SQuAD's evaluation).

    Args:
        answers: the right ones; empty: there is none, and only an empty answer is right.
        found: what was answered.
    """
    if not answers:
        empty = float(not _squad_words(found))
        return empty, empty
    claimed = _squad_words(found)
    exact = best = 0.0
    for answer in answers:
        wanted = _squad_words(answer)
        exact = max(exact, float(wanted == claimed))
        shared = (Counter(wanted) & Counter(claimed)).total()
        equal_empty = float(not wanted and not claimed)
        best = max(best, equal_empty, f1(shared, len(claimed), len(wanted)))
    return exact, best


def rouge_n(truth: Sequence[str], found: Sequence[str], n: int) -> float:
    """F1 of word n-grams (Lin 2004), clipped counts, without stemming."""
    wanted = Counter(zip(*(truth[shift:] for shift in range(n)), strict=False))
    claimed = Counter(zip(*(found[shift:] for shift in range(n)), strict=False))
    return f1((wanted & claimed).total(), claimed.total(), wanted.total())


def rouge_l(truth: Sequence[str], found: Sequence[str]) -> float:
    """F1 of the longest common subsequence of words (Lin 2004)."""
    previous = [0] * (len(found) + 1)
    for word in truth:
        current = [0]
        for index, other in enumerate(found):
            same = previous[index] + 1 if word == other else max(previous[index + 1], current[-1])
            current.append(same)
        previous = current
    return f1(previous[-1], len(found), len(truth))


def chrf(truth: Sequence[Sequence[str]], found: Sequence[str], *, order: int = 6) -> float:
    """chrF2 over all texts (Popovic 2015): F of character n-grams, recall counted twice.

    As sacrebleu computes it, but between 0 and 1: without white space, n from 1 to 6, means of
    precision and recall over the n that occur, and of several references the nearest.

    Args:
        truth: per text its references, at least one.
        found: what was answered.
        order: the longest n.
    """
    totals = [(0, 0, 0)] * order
    for references, text in zip(truth, found, strict=True):
        each = [_chrf_counts(reference, text, order) for reference in references]
        best = max(each, key=_chrf_of)
        totals = [(a + d, b + e, c + f) for (a, b, c), (d, e, f) in zip(totals, best, strict=True)]
    return _chrf_of(totals)


def pearson(truth: Sequence[float], found: Sequence[float]) -> float:
    """Linear correlation; 0 where one side is constant."""
    mean_a, mean_b = sum(truth) / len(truth), sum(found) / len(found)
    a = [value - mean_a for value in truth]
    b = [value - mean_b for value in found]
    scale = (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5
    return float(sum(x * y for x, y in zip(a, b, strict=True)) / scale) if scale else 0.0


def _chrf_counts(truth: str, found: str, order: int) -> list[tuple[int, int, int]]:
    """Per n: n-grams that both have, that were found, that were wanted."""
    a, b = "".join(truth.split()), "".join(found.split())
    counts = []
    for n in range(1, order + 1):
        wanted = Counter(a[i : i + n] for i in range(len(a) - n + 1))
        claimed = Counter(b[i : i + n] for i in range(len(b) - n + 1))
        counts.append(((wanted & claimed).total(), claimed.total(), wanted.total()))
    return counts


def _chrf_of(counts: Sequence[tuple[int, int, int]]) -> float:
    used = [one for one in counts if one[1] and one[2]]
    if not used:
        return 0.0
    precision = sum(right / found for right, found, _ in used) / len(used)
    recall = sum(right / wanted for right, _, wanted in used) / len(used)
    return 5 * precision * recall / (4 * precision + recall) if precision + recall else 0.0


def _squad_words(text: str) -> list[str]:
    """Lower case, no punctuation, no articles; Chinese characters one by one."""
    text = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    text = re.sub(r"\b(a|an|the)\b", " ", text)
    text = re.sub(rf"([{CJK}])", r" \1 ", text)
    return text.split()
