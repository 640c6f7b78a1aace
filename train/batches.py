"""Which training rows share a step: rows of like length, bounded by rows and by padded tokens."""

import random
from collections.abc import Iterator, Sequence

from train.rows import padded


class LengthBatches:
    """Batch sampler: rows sorted by padded length, shuffled within it, batches in random order.

    The number of batches is the same in every epoch, since only rows of one padded length change
    places; their order depends on seed and epoch alone.
    """

    def __init__(
        self, lengths: Sequence[int], *, max_rows: int, max_tokens: int, seed: int
    ) -> None:
        """Fix where batches begin.

        Args:
            lengths: tokens of each row.
            max_rows: rows of one batch.
            max_tokens: padded tokens of one batch; a longer row is a batch of its own.
            seed: of all shuffling.
        """
        self.padded = [padded(length) for length in lengths]
        self.seed = seed
        self.epoch = 0
        self.batch_size = max_rows
        self.drop_last = False
        order = sorted(self.padded)
        self.starts = [0] if order else []
        for index, length in enumerate(order):
            rows = index - self.starts[-1] + 1
            if rows > 1 and (rows > max_rows or rows * length > max_tokens):
                self.starts.append(index)

    def __len__(self) -> int:
        """Batches of one epoch."""
        return len(self.starts)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        """Lists of row indices; every row once."""
        draw = random.Random(f"{self.seed} {self.epoch}")
        order = list(range(len(self.padded)))
        draw.shuffle(order)
        order.sort(key=self.padded.__getitem__)
        ends = [*self.starts[1:], len(order)]
        batches = [order[start:end] for start, end in zip(self.starts, ends, strict=True)]
        draw.shuffle(batches)
        return iter(batches)
