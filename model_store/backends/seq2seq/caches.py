"""Key-value caches as plain memory that a runtime reads where it lies.

A runtime wants each cache as one contiguous array ``(rows, heads, columns, dim)`` whose newest
column stands last, and a step must not copy it. So the array slides: memory holds some columns
more than the array, and each step moves the array's beginning by one column. Every line of it (one
row, one head) then loses its first column to the line before and wins its last from the line
behind. As long as the first column is dead (masked), nothing is lost, and the new column is
written into the last. When no dead column is left, the live ones move into memory with ``BUCKET``
more.
"""

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided

from contracts.tensors import Array
from model_store.backends.seq2seq.row_table import Moves

BUCKET = 32
"""Columns that a cache grows by. Fewer would be copied more often, more would be read in vain."""

SOURCE_BUCKET = 16
NARROWER = 0.75
"""A source cache is copied into a narrower one when this part of it would do."""


class SlidingCache:
    """The self-attention's keys and values of all layers."""

    def __init__(self, tensors: int, heads: int, dim: int) -> None:
        """Start without rows.

        Args:
            tensors: keys and values of all layers: ``2 * layers``.
            heads: of the decoder.
            dim: of one head.
        """
        self._tensors, self._heads, self._dim = tensors, heads, dim
        self.columns = 0
        """Columns that a step reads, dead ones included."""
        self._capacity = 0
        self._offset = 0
        self._memory = self._allocated()

    @property
    def bytes(self) -> int:
        """Memory held."""
        return self._memory.nbytes

    def array(self, rows: int) -> Array:
        """``(tensors, rows, heads, columns, dim)``, as a step reads it; each tensor contiguous."""
        item = self._memory.itemsize
        line = self.columns * self._dim * item
        return as_strided(
            self._memory[:, self._offset * self._dim :],
            (self._tensors, rows, self._heads, self.columns, self._dim),
            (self._memory.strides[0], self._heads * line, line, self._dim * item, item),
        )

    def make_rows(self, held: int, rows: int) -> None:
        """Hold ``rows``, of which the first ``held`` are kept and the others are zero."""
        if rows > self._capacity or rows <= self._capacity // 4:
            self._resize(held, max(rows, min(2 * rows, 2 * self._capacity)), self.columns)
        # What lies at masked places counts nothing, but only if it is a number.
        self.array(rows)[:, held:] = 0

    def make_column(self, rows: int, width: int) -> None:
        """See that the first column of every line is dead and that the array can slide on."""
        spare = self.columns - width
        if not 0 < spare <= 2 * BUCKET or self._offset == self.columns:
            self._resize(rows, self._capacity, -(-(width + 1) // BUCKET) * BUCKET)

    def append(self, new: Array) -> None:
        """Slide, and write the newest column.

        Args:
            new: ``(tensors, rows, heads, dim)``.
        """
        self._offset += 1
        self.array(new.shape[1])[:, :, :, -1] = new

    def move(self, moves: Moves) -> None:
        """Let rows be what other rows were."""
        to, old = moves
        if len(to):
            array = self.array(self._capacity)
            array[:, to] = array[:, old]

    def _resize(self, rows: int, capacity: int, columns: int) -> None:
        before, kept = self.array(rows), min(columns, self.columns)
        self.columns, self._capacity, self._offset = columns, capacity, 0
        self._memory = self._allocated()
        if rows and kept:
            self.array(rows)[:, :, :, columns - kept :] = before[:, :, :, -kept:]

    def _allocated(self) -> Array:
        # Behind the last line there is room for it to slide by all its columns.
        lines = self._capacity * self._heads
        columns = (lines + 1) * self.columns if lines else 0
        return np.zeros((self._tensors, columns * self._dim), np.float32)


class SourceCache:
    """The cross-attention's keys and values of all layers, ``(rows, heads, tokens, dim)`` each."""

    def __init__(self, tensors: int, heads: int, dim: int) -> None:
        """Start without rows; see ``SlidingCache``."""
        self._memory = np.zeros((tensors, 0, heads, 0, dim), np.float32)

    @property
    def bytes(self) -> int:
        """Memory held."""
        return self._memory.nbytes

    @property
    def tokens(self) -> int:
        """Tokens that a step reads, padding included."""
        return int(self._memory.shape[3])

    def array(self, rows: int) -> Array:
        """``(tensors, rows, heads, tokens, dim)``; each tensor contiguous."""
        return self._memory[:, :rows]

    def fit(self, held: int, rows: int, width: int) -> bool:
        """Hold ``rows`` with sources of up to ``width`` tokens.

        Args:
            held: rows that are kept.
            rows: rows that there shall be.
            width: tokens of the longest source.

        Returns:
            Whether the memory is another now.
        """
        capacity, tokens = self._memory.shape[1], self.tokens
        wanted = -(-width // SOURCE_BUCKET) * SOURCE_BUCKET
        narrow = wanted <= tokens * NARROWER
        if rows <= capacity and wanted <= tokens and not narrow and rows > capacity // 4:
            return False
        if rows > capacity or rows <= capacity // 4:
            capacity = max(rows, min(2 * rows, 2 * capacity))
        tensors, _, heads, _, dim = self._memory.shape
        fresh = np.zeros((tensors, capacity, heads, wanted, dim), np.float32)
        kept = min(wanted, tokens)
        fresh[:, :held, :, :kept] = self._memory[:, :held, :, :kept]
        self._memory = fresh
        return True

    def write(
        self, row: int, copies: int, arrays: Sequence[Array], index: int, tokens: int
    ) -> None:
        """Put one text into rows.

        Args:
            row: the first.
            copies: how many.
            arrays: as ``EncodedTexts`` has them.
            index: of the text.
            tokens: of the text, without padding.
        """
        there = self._memory[:, row : row + copies]
        for place, array in zip(there, arrays, strict=True):
            place[:, :, :tokens] = array[index, :, :tokens]
        there[:, :, :, tokens:] = 0

    def move(self, moves: Moves) -> None:
        """Let rows be what other rows were."""
        to, old = moves
        if len(to):
            self._memory[:, to] = self._memory[:, old]
