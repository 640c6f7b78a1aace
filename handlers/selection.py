"""Which sentences make the summary: the best that fit, none that says what was said already."""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from handlers.sentences import CJK
from handlers.summary_budget import Budget

REPEATED = 0.5
"""A sentence half of whose n-grams are in the summary already adds too little."""

_WORD = re.compile(rf"[{CJK}]|[^\W{CJK}]+")
_COUNTED = re.compile(rf"[{CJK}]|[^\s{CJK}\u3000-\u303f\uff00-\uff65]+")
_CJK = re.compile(f"[{CJK}]")


def count_words(text: str) -> int:
    """Words between spaces; every character of Chinese and Japanese is one."""
    return len(_COUNTED.findall(text))


def select(
    sentences: Sequence[str], scores: Sequence[float], tokens: Sequence[int], budget: Budget
) -> list[int]:
    """Choose sentences greedily by score.

    A sentence is passed over when it does not fit into what is left of the budget, when it has no
    word, or when most of its trigrams (of words; of characters in Chinese and Japanese) are in the
    summary already. At least one sentence is chosen: where none fits, the best.

    Args:
        sentences: in text order, at least one.
        scores: per sentence; of equal ones the earlier goes first.
        tokens: the model's tokens of each.
        budget: what the summary may hold.

    Returns:
        Indices of the chosen sentences, ascending.
    """
    ranking = sorted(range(len(sentences)), key=lambda index: -scores[index])
    ranking = [index for index in ranking if _WORD.search(sentences[index])] or ranking
    chosen: list[int] = []
    said: set[tuple[str, ...]] = set()
    words_left, tokens_left = budget.words, budget.tokens
    for index in ranking:
        if budget.sentences is not None and len(chosen) == budget.sentences:
            break
        if tokens_left is not None and tokens[index] > tokens_left:
            continue
        words = 0 if words_left is None else count_words(sentences[index])
        if words_left is not None and words > words_left:
            continue
        grams = _grams(sentences[index])
        if chosen and len(grams & said) >= REPEATED * len(grams):
            continue
        said |= grams
        chosen.append(index)
        words_left = None if words_left is None else words_left - words
        tokens_left = None if tokens_left is None else tokens_left - tokens[index]
    return sorted(chosen) or ranking[:1]


def join(sentences: Sequence[str]) -> str:
    """Sentences in a row: a space between them, none between Chinese or Japanese ones."""
    parts = [*sentences[:1]]
    for before, sentence in pairwise(sentences):
        if not (_is_cjk(reversed(before)) and _is_cjk(sentence)):
            parts.append(" ")
        parts.append(sentence)
    return "".join(parts)


def _grams(sentence: str) -> set[tuple[str, ...]]:
    words = _WORD.findall(sentence.casefold())
    size = min(3, len(words))
    return {tuple(words[at : at + size]) for at in range(len(words) - size + 1)}


def _is_cjk(letters: Iterable[str]) -> bool:
    """Whether the first letter or digit is Chinese or Japanese."""
    first = next((letter for letter in letters if letter.isalnum()), "")
    return _CJK.match(first) is not None
