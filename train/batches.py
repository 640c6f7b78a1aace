"""Which training rows share a step: rows of like length, bounded by rows and by padded tokens."""

import random
from collections.abc import Iterator, Sequence

from contracts.errors import CheckpointError
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
        self.drop_last = False
        self.plan(rows=range(len(self.padded)), max_rows=max_rows, max_tokens=max_tokens)

    def plan(
        self,
        *,
        rows: Sequence[int] | None = None,
        max_rows: int | None = None,
        max_tokens: int | None = None,
    ) -> None:
        """Change what the following passes go through; None leaves a setting as it is.

        Args:
            rows: indices of rows; one may occur several times.
            max_rows: of one batch, at least 1.
            max_tokens: of one batch.

        Raises:
            CheckpointError: no rows, a row that there is not, or batches of none.
        """
        if rows is not None:
            if (self.padded and not rows) or not all(0 <= row < len(self.padded) for row in rows):
                raise CheckpointError("A data mix needs rows, by indices that there are.")
            self.rows = list(rows)
        if max_rows is not None:
            if max_rows < 1:
                raise CheckpointError(f"A batch of {max_rows} rows is none; give at least 1.")
            self.max_rows = self.batch_size = max_rows
        if max_tokens is not None:
            self.max_tokens = max_tokens
        order = sorted(self.padded[row] for row in self.rows)
        self.starts = [0] if order else []
        for index, length in enumerate(order):
            count = index - self.starts[-1] + 1
            if count > 1 and (count > self.max_rows or count * length > self.max_tokens):
                self.starts.append(index)

    def __len__(self) -> int:
        """Batches of one epoch."""
        return len(self.starts)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        """Lists of row indices; every row once, or as often as the mix has it."""
        draw = random.Random(f"{self.seed} {self.epoch}")
        order = list(self.rows)
        draw.shuffle(order)
        order.sort(key=self.padded.__getitem__)
        ends = [*self.starts[1:], len(order)]
        batches = [order[start:end] for start, end in zip(self.starts, ends, strict=True)]
        draw.shuffle(batches)
        return iter(batches)
