"""Rows of an extractive summariser: whole sentences, each between its own special tokens.

BERTSUM's input (Liu and Lapata, "Text Summarization with Pretrained Encoders", 2019)::

    [CLS] first sentence [SEP] [CLS] second sentence [SEP] ...

Serving and training both build their rows here, so that they agree. Two things are not BERTSUM's.
The logit of a sentence is the mean over its tokens, not what stands at its classification token:
where an encoder was trained to be averaged, as sentence encoders are, the latter says next to
nothing until much training later. And all token types are 0: half of the encoders have none, and
the separators say the same.
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
        spans: per sentence its tokens ``[start, end)``, special ones included.
    """

    row: Row
    first: int
    spans: list[tuple[int, int]]


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
        spans = [(0, len(ids))]
        last = first + 1
        while last < len(rows) and len(ids) + len(rows[last]) <= max_tokens:
            spans.append((len(ids), len(ids) + len(rows[last])))
            ids += rows[last]
            last += 1
        packed.append(SentenceRow(Row(ids, [0] * len(ids)), first, spans))
        if last < len(rows):
            first = _next_first(rows, first, last, max_tokens)
    return packed


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sentence is read: tokens ``[start, end)`` of a row, by its index."""

    row: int
    start: int
    end: int


def best_places(rows: Sequence[SentenceRow]) -> list[Place]:
    """The place of each sentence of the text: the row that shows most text on its poorer side."""
    best: list[tuple[int, Place]] = []
    for index, one in enumerate(rows):
        for number, (start, end) in enumerate(one.spans, one.first):
            context = min(start, len(one.row) - end)
            found = context, Place(index, start, end)
            if number == len(best):
                best.append(found)
            elif context > best[number][0]:
                best[number] = found
    return [place for _, place in best]


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
