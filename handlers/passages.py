"""A document in passages that a model can read: whole sentences, as many as fit."""

import itertools
from collections.abc import Sequence

from tokenizers import Encoding

from handlers.sentences import sentences


def passages(text: str, encoding: Encoding, room: int, *, first: int = 0) -> list[tuple[int, int]]:
    """Cut an encoded text at ends of sentences.

    A sentence that is longer than a passage is cut where the passage ends; nothing is left out and
    nothing is read twice.

    Args:
        text: the document.
        encoding: of it, without special tokens.
        room: tokens of a passage at most, >= 1.
        first: token that the first passage begins with.

    Returns:
        ``[start, end)`` in tokens, in order; together all tokens from ``first`` on.
    """
    tokens = len(encoding.ids)
    ends = _ends(encoding, [end for _, end in sentences(text)])
    cuts = [first, *(end for end in ends if end > first), tokens]
    found: list[tuple[int, int]] = []
    start = first
    for cut, following in itertools.pairwise(cuts):
        if following - start > room and cut > start:
            found.append((start, cut))
            start = cut
        while following - start > room:
            found.append((start, start + room))
            start += room
    if start < tokens or not found:
        found.append((start, tokens))
    return found


def _ends(encoding: Encoding, ends: Sequence[int]) -> list[int]:
    """The token behind each character position, in order, each once."""
    found: list[int] = []
    token = 0
    offsets = encoding.offsets
    for end in ends:
        while token < len(offsets) and offsets[token][0] < end:
            token += 1
        if not found or token > found[-1]:
            found.append(token)
    return found
