"""Who stands where in a running batch: tokens decoded, and which source each row reads."""

from collections.abc import Sequence
from itertools import count

import numpy as np

from contracts.tensors import IDS, Array

Moves = tuple[Array, Array]
"""Rows that change, and what each of them was: ``new[to] = old[from]``, all at once."""

_KEYS = count()


class EncodedTexts:
    """What ``encode`` returns: the cross-attention's keys and values, one array per name.

    ``arrays`` are ``key_0, value_0, key_1, ...``, each ``(texts, heads, source, dim)``: numpy's or
    torch's.
    """

    def __init__(self, arrays: Sequence[object], mask: Array) -> None:
        """Keep what an encoder gave.

        Args:
            arrays: see above.
            mask: ``(texts, source)``, 1 where a token is; padding stands at the end.
        """
        self.arrays = arrays
        self.lengths = mask.shape[1] - np.argmax(mask[:, ::-1] != 0, axis=1)
        self.masks = mask
        self.keys = [next(_KEYS) for _ in range(len(mask))]

    def __len__(self) -> int:
        return len(self.lengths)


class RowTable:
    """The rows of one batch, in their order."""

    def __init__(self) -> None:
        self.lengths = np.zeros(0, IDS)
        """Tokens decoded so far, by row: its position, and the columns that are its own."""
        self.sources = np.zeros(0, IDS)
        """A number for each text that is read; beams of one request share it."""
        self.source_lengths = np.zeros(0, IDS)

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def width(self) -> int:
        """Columns of the longest row."""
        return int(self.lengths.max(initial=0))

    @property
    def source_width(self) -> int:
        """Tokens of the longest source."""
        return int(self.source_lengths.max(initial=0))

    def add(self, source: EncodedTexts, index: int, copies: int) -> None:
        """Append rows that have decoded nothing."""
        self.lengths = np.append(self.lengths, np.zeros(copies, IDS))
        self.sources = np.append(self.sources, np.full(copies, source.keys[index], IDS))
        tokens = np.full(copies, source.lengths[index], IDS)
        self.source_lengths = np.append(self.source_lengths, tokens)

    def advance(self) -> None:
        """One token more in every row."""
        self.lengths = self.lengths + 1

    def select(self, rows: Array) -> tuple[Moves, Moves]:
        """Let row ``i`` be what ``rows[i]`` was.

        Returns:
            What that moves in the self-attention's cache and, where a row reads another source
            than before, in the cross-attention's.
        """
        there = np.arange(len(rows))
        before = np.append(self.sources, np.full(max(0, len(rows) - len(self)), -1, IDS))
        own = rows != there
        cross = self.sources[rows] != before[: len(rows)]
        self.lengths, self.sources = self.lengths[rows], self.sources[rows]
        self.source_lengths = self.source_lengths[rows]
        return (there[own], rows[own]), (there[cross], rows[cross])

    def past_mask(self, columns: int) -> Array:
        """int64 ``(rows, columns)``: the last columns of each row are its own."""
        return (np.arange(columns) >= columns - self.lengths[:, None]).astype(IDS)

    def source_mask(self, tokens: int) -> Array:
        """int64 ``(rows, tokens)``."""
        return (np.arange(tokens) < self.source_lengths[:, None]).astype(IDS)
