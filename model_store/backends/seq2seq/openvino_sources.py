"""What the rows of a running batch read: cross-attention's keys and values, by slot.

A row stays in its slot until it leaves, so its text is copied once, when it joins. OpenVINO reads
the arrays where they lie; new ones are made when rows or lengths outgrow them. As OpenVINO's states
they would have to be written whole whenever a row joins, and steps would take about as long.
"""

from collections.abc import Sequence

import numpy as np

from contracts.tensors import IDS, Array
from model_store.backends.seq2seq.row_table import EncodedTexts

SOURCE_LENGTHS = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""Source tokens that are run: the longest text of a batch is filled up to the next of these, or to
a multiple of the last. Kernels are kept for each, times each row count."""


class SourceSlots:
    """Texts by slot: keys and values ``(slots, heads, length, dim)`` of each layer, and a mask."""

    def __init__(self, count: int, heads: int, dim: int, *, bf16: bool) -> None:
        """Start without slots.

        Args:
            count: arrays, in the order of ``EncodedTexts``.
            heads: of attention.
            dim: width of a head.
            bf16: hold the upper halves of float32, as uint16.
        """
        self._bf16 = bf16
        kind = np.uint16 if bf16 else np.float32
        self.arrays: list[Array] = [np.zeros((0, heads, 0, dim), dtype=kind)] * count
        self.mask: Array = np.zeros((0, 0), dtype=IDS)
        self.lengths: Array = np.zeros(0, dtype=IDS)

    @property
    def slots(self) -> int:
        """How many there are, empty ones too."""
        return len(self.mask)

    @property
    def length(self) -> int:
        """Source tokens of every slot, padding included."""
        return int(self.mask.shape[1])

    @property
    def bytes(self) -> int:
        """Memory of all slots."""
        return sum(array.nbytes for array in self.arrays)

    def fit(self, kept: Array, slots: int, length: int) -> None:
        """Make new arrays, and move what is kept to their front.

        Args:
            kept: slot ``i`` becomes what slot ``kept[i]`` was.
            slots: the new number; at least as many as are kept.
            length: the new length; at least that of the longest text that is kept.
        """
        common, count = min(length, self.length), len(kept)
        for number, old in enumerate(self.arrays):
            new = np.zeros((slots, old.shape[1], length, old.shape[3]), dtype=old.dtype)
            new[:count, :, :common] = old[kept, :, :common]
            self.arrays[number] = new
        mask, lengths = np.zeros((slots, length), dtype=IDS), np.zeros(slots, dtype=IDS)
        mask[:count, :common] = self.mask[kept, :common]
        lengths[:count] = self.lengths[kept]
        self.mask, self.lengths = mask, lengths

    def put(self, slots: Sequence[int], source: EncodedTexts, index: int) -> None:
        """Write one text into slots, whole into each.

        Args:
            slots: which.
            source: what the encoder gave.
            index: which of its texts.
        """
        tokens = int(source.lengths[index])
        for array, texts in zip(self.arrays, source.arrays, strict=True):
            text = np.asarray(texts)[index, :, :tokens]
            if self._bf16:
                text = rounded_halves(text)
            for slot in slots:
                array[slot, :, :tokens] = text
                # What a text before it left there is masked, but must be finite.
                array[slot, :, tokens:] = 0
        for slot in slots:
            self.mask[slot, :tokens] = source.mask[index, :tokens]
            self.mask[slot, tokens:] = 0
            self.lengths[slot] = tokens

    def copy(self, source: int, slot: int) -> None:
        """Let a slot hold the text of another."""
        for array in (*self.arrays, self.mask, self.lengths):
            array[slot] = array[source]


def rounded_length(tokens: int) -> int:
    """The length that texts are filled up to; see ``SOURCE_LENGTHS``."""
    for length in SOURCE_LENGTHS:
        if tokens <= length:
            return length
    return -(-tokens // SOURCE_LENGTHS[-1]) * SOURCE_LENGTHS[-1]


def rounded_halves(array: Array) -> Array:
    """float32 as bfloat16, to nearest, in the bits of uint16."""
    bits = np.ascontiguousarray(array, dtype=np.float32).view(np.uint32)
    halves: Array = ((bits + np.uint32(0x8000)) >> np.uint32(16)).astype(np.uint16)
    return halves
