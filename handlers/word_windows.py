"""Windows of a long text that begin and end between words, and where one hands over to the next."""

from collections.abc import Sequence
from itertools import pairwise

from handlers.tokenization import Window


def word_windows(word_ids: Sequence[int | None], room: int, stride: int) -> list[Window]:
    """Cover a text with windows of at most ``room`` tokens that share at least ``stride``.

    An edge moves back to the beginning of a word, by at most a quarter of a step: a longer word (a
    URL, Chinese text that the tokenizer does not split) is cut.

    Args:
        word_ids: the word of each token; a token without one is a word of its own.
        room: tokens of one window.
        stride: below ``room``.

    Returns:
        Windows in text order; both starts and ends ascend, the last ends with the text.
    """
    tokens = len(word_ids)
    slack = (room - stride) // 4
    found: list[Window] = []
    start = 0
    while start + room < tokens:
        end = _word_start(word_ids, start + room, slack)
        found.append(Window(start, end))
        start = _word_start(word_ids, end - stride, slack)
    found.append(Window(start, tokens))
    return found


def cuts_between(windows: Sequence[Window], word_ids: Sequence[int | None]) -> list[int]:
    """Share the tokens out so that each falls to the window where it is farthest from an edge.

    In the overlap of two windows that is its middle, moved to the nearest beginning of a word
    within its inner half.

    Args:
        windows: from ``word_windows``.
        word_ids: the word of each token.

    Returns:
        ``len(windows) + 1`` ascending token indices; window ``i`` decides ``[cuts[i], cuts[i +
        1])`` and contains it.
    """
    cuts = [0]
    for left, right in pairwise(windows):
        middle = max((right.start + left.end) // 2, cuts[-1])
        slack = (left.end - right.start) // 4
        low, high = max(middle - slack, cuts[-1]), middle + slack
        near = sorted(range(low, high + 1), key=lambda index: abs(index - middle))
        cuts.append(next((index for index in near if _begins(word_ids, index)), middle))
    return [*cuts, windows[-1].end]


def _begins(word_ids: Sequence[int | None], index: int) -> bool:
    """Whether a word begins at this token (or the text ends before it)."""
    if index in (0, len(word_ids)):
        return True
    return word_ids[index] is None or word_ids[index] != word_ids[index - 1]


def _word_start(word_ids: Sequence[int | None], index: int, slack: int) -> int:
    """The nearest beginning of a word up to ``slack`` tokens before ``index``, else ``index``."""
    for candidate in range(index, index - slack - 1, -1):
        if _begins(word_ids, candidate):
            return candidate
    return index
