"""Rows of an extractive summariser: whole sentences, each behind its own classification token.

BERTSUM's input (Liu and Lapata, "Text Summarization with Pretrained Encoders", 2019)::

    [CLS] first sentence [SEP] [CLS] second sentence [SEP] ...

The score of a sentence is read at its classification token. Serving and training both build their
rows here, so that they agree. Unlike BERTSUM, which alternates them, all token types are 0: half of
the encoders have no token types, and the separators say the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from handlers.tokenization import Row, TextTokenizer

WINDOW_TOKENS = 512
"""Tokens of one row at most: enough context for a sentence, while attention is still cheap."""
OVERLAP = 1 / 4
"""Part of a row that its predecessor may already hold, as context for the sentences that follow."""


@dataclass(frozen=True, slots=True)
class SentenceRow:
    """Neighbouring sentences in one row.

    Attributes:
        row: what the model reads.
        first: index of the first sentence in it.
        positions: per sentence, the index of the token where its score is read.
    """

    row: Row
    first: int
    positions: list[int]


def sentence_rows(
    tokenizer: TextTokenizer, sentences: Sequence[Sequence[int]], max_tokens: int = WINDOW_TOKENS
) -> list[SentenceRow]:
    """Pack the sentences of one text into rows that overlap by about a quarter.

    A sentence that is longer than a row is read up to the row's end.

    Args:
        tokenizer: of the model.
        sentences: per sentence its token ids, without special tokens; at least one sentence.
        max_tokens: of one row; never more than the model accepts.

    Returns:
        Rows in text order; together they hold every sentence.
    """
    max_tokens = min(max_tokens, tokenizer.max_tokens)
    room = tokenizer.room(max_tokens=max_tokens)
    rows = [tokenizer.row(ids[:room]).input_ids for ids in sentences]
    packed = []
    first = last = 0
    while last < len(rows):
        ids = [*rows[first]]
        positions = [0]
        last = first + 1
        while last < len(rows) and len(ids) + len(rows[last]) <= max_tokens:
            positions.append(len(ids))
            ids += rows[last]
            last += 1
        packed.append(SentenceRow(Row(ids, [0] * len(ids)), first, positions))
        if last < len(rows):
            first = _next_first(rows, first, last, max_tokens)
    return packed


def best_places(rows: Sequence[SentenceRow]) -> list[tuple[int, int]]:
    """Where each sentence is read: the row that shows most text on its poorer side.

    Returns:
        Per sentence of the text, the index of the row and of the token in it.
    """
    best: list[tuple[int, int, int]] = []
    for index, one in enumerate(rows):
        ends = [*one.positions[1:], len(one.row)]
        for number, (start, end) in enumerate(zip(one.positions, ends, strict=True), one.first):
            context = min(start, len(one.row) - end)
            if number == len(best):
                best.append((context, index, start))
            elif context > best[number][0]:
                best[number] = (context, index, start)
    return [(index, position) for _, index, position in best]


def _next_first(rows: Sequence[Sequence[int]], first: int, last: int, max_tokens: int) -> int:
    """The first sentence of the next row, which must also hold the sentence ``last``."""
    shared = 0
    spare = max_tokens - len(rows[last])
    following = last
    while following - 1 > first:
        shared += len(rows[following - 1])
        if shared > min(spare, int(max_tokens * OVERLAP)):
            break
        following -= 1
    return following
