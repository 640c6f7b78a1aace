"""The span search of question answering: from start and end logits to the best spans of a window.

The numbers are those of the ``question-answering`` pipeline of transformers 4.57 (``decode_spans``
and ``select_starts_ends``): softmax over the context's tokens and the classification token, and the
score of a span is the product of its first token's start and its last token's end probability.
There, all pairs of tokens are scored and the impossible ones set to zero; here only the band of
possible ones is scored.
"""

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from contracts.tensors import Array

MAX_CELLS = 1 << 18
"""Spans scored at once: one array of a megabyte, whatever the caller's ``max_answer_len`` is."""


class Spans(NamedTuple):
    """Spans of one window, best first; equal scores in text order.

    Attributes:
        first: index of the first token of each, ``(spans,)``.
        last: index of the last token of each, inclusive.
        scores: probabilities, float32.
    """

    first: Array
    last: Array
    scores: Array


def probabilities(logits: Array, begin: int, end: int, null: int | None) -> tuple[Array, float]:
    """Softmax over the context ``[begin, end)`` of a row and its classification token.

    Args:
        logits: of one row, ``(tokens,)``.
        begin: where the context begins.
        end: where it ends.
        null: index of the classification token, which stands for "no answer"; None: there is none.

    Returns:
        The context's probabilities, ``(end - begin,)``, and that of the classification token.
    """
    context = logits[begin:end]
    if null is None:
        weights = np.exp(context - context.max())
        return weights / weights.sum(), 0.0
    top = max(context.max(), logits[null])
    weights = np.exp(context - top)
    rest = np.exp(logits[null] - top)
    total = weights.sum() + rest
    return weights / total, float(rest / total)


def best_spans(start: Array, end: Array, count: int, max_tokens: int) -> Spans:
    """The ``count`` spans with the largest ``start[first] * end[last]``, or all there are.

    A span has ``first <= last < first + max_tokens``. Only that band is computed, in blocks of
    ``MAX_CELLS`` that begin with the most likely starts, so that the rest can be left out once no
    span in it can be good enough. No Python loop over tokens: a window of 384 costs 0.1 ms.

    Args:
        start: start probabilities of the context's tokens, ``(tokens,)``, tokens >= 1.
        end: their end probabilities.
        count: >= 1.
        max_tokens: >= 1; of one span.
    """
    tokens = len(start)
    width = min(max_tokens, tokens)
    # Beyond the text a span is worse than any: -1, also after a start of probability zero.
    band = sliding_window_view(np.concatenate([end, np.zeros(width - 1, end.dtype)]), width)
    height = max(1, MAX_CELLS // width)
    order = np.arange(tokens) if tokens <= height else np.argsort(-start, kind="stable")
    ceiling = end.max()
    cells = np.empty(0, np.int64)
    scores = np.empty(0, start.dtype)
    for at in range(0, tokens, height):
        rows = order[at : at + height]
        if len(scores) == count and start[rows[0]] * ceiling < scores.min():
            break
        block = start[rows, None] * band[rows]
        block[np.arange(width) >= (tokens - rows)[:, None]] = -1
        # Each row's best is a span, so the count-th of them is a floor under the count best of all.
        # (argpartition over the cells would be simpler, and takes 60 ms where most of them are -1.)
        tops = block.max(axis=1)
        floor = np.partition(tops, -count)[-count] if count < len(tops) else 0
        at_row, at_column = np.nonzero(block >= floor)
        best = rows[at_row] * width + at_column
        cells = np.concatenate([cells, best])
        scores = np.concatenate([scores, block[at_row, at_column]])
        keep = np.lexsort((cells, -scores))[:count]
        cells, scores = cells[keep], scores[keep]
    first = cells // width
    return Spans(first, first + cells % width, scores)
