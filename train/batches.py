"""Which training rows share a step: rows of like length, bounded by rows and by padded tokens."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from contracts.errors import CheckpointError
from train.rows import padded


@dataclass(frozen=True, slots=True)
class Plan:
    """What an epoch goes through: rows by index, and the bounds of a batch."""

    rows: list[int]
    max_rows: int
    max_tokens: int


class LengthBatches:
    """Batch sampler: rows sorted by padded length, shuffled within it, batches in random order.

    The number of batches is the same in every epoch of one plan, since only rows of one padded
    length change places; their order depends on seed and epoch alone.

    Attributes:
        next: the plan of the next epoch; the one that goes on keeps its own.
    """

    def __init__(
        self, lengths: Sequence[int], *, max_rows: int, max_tokens: int, seed: int
    ) -> None:
        """Plan the first epoch over all rows.

        Args:
            lengths: tokens of each row.
            max_rows: rows of one batch.
            max_tokens: padded tokens of one batch; a longer row is a batch of its own.
            seed: of all shuffling.
        """
        self.padded = [padded(length) for length in lengths]
        self.seed = seed
        self.drop_last = False
        self.next = Plan(list(range(len(self.padded))), max_rows, max_tokens)
        self.begin(0)

    @property
    def batch_size(self) -> int:
        """Rows of a batch, at most: what loaders ask a batch sampler for."""
        return self.next.max_rows

    def plan(
        self,
        *,
        rows: Sequence[int] | None = None,
        max_rows: int | None = None,
        max_tokens: int | None = None,
    ) -> None:
        """Change what the following epochs go through; None leaves a setting as it is.

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
            self.next = replace(self.next, rows=list(rows))
        if max_rows is not None:
            if max_rows < 1:
                raise CheckpointError(f"A batch of {max_rows} rows is none; give at least 1.")
            self.next = replace(self.next, max_rows=max_rows)
        if max_tokens is not None:
            self.next = replace(self.next, max_tokens=max_tokens)

    def begin(self, epoch: int) -> None:
        """Fix plan and order of an epoch."""
        self.epoch = epoch
        self._enter(self.next)

    def __len__(self) -> int:
        """Batches of this epoch."""
        return len(self._starts)

    def __iter__(self) -> Iterator[list[int]]:
        """Lists of row indices; every row once, or as often as the plan has it."""
        draw = random.Random(f"{self.seed} {self.epoch}")
        order = list(self._now.rows)
        draw.shuffle(order)
        order.sort(key=self.padded.__getitem__)
        ends = [*self._starts[1:], len(order)]
        batches = [order[start:end] for start, end in zip(self._starts, ends, strict=True)]
        draw.shuffle(batches)
        return iter(batches)

    def state_dict(self) -> dict[str, Any]:
        """Where the sampler stands, as plain data."""
        return {"epoch": self.epoch, "now": asdict(self._now), "next": asdict(self.next)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Stand there again."""
        self.epoch, self.next = state["epoch"], Plan(**state["next"])
        self._enter(Plan(**state["now"]))

    def _enter(self, plan: Plan) -> None:
        self._now = plan
        order = sorted(self.padded[row] for row in plan.rows)
        self._starts = [0] if order else []
        for index, length in enumerate(order):
            count = index - self._starts[-1] + 1
            if count > 1 and (count > plan.max_rows or count * length > plan.max_tokens):
                self._starts.append(index)


class Share:
    """The part of each batch that one of several processes runs: of n, every n-th row.

    A step so sees the recipe's batch, however many processes there are. Only in a batch of fewer
    rows than processes the first row counts more than once: a process without a share runs it too.
    """

    def __init__(self, batches: LengthBatches, process: int, processes: int) -> None:
        self.batches, self.process, self.processes = batches, process, processes
        self.batch_size, self.drop_last = batches.batch_size, False

    def __len__(self) -> int:
        """Batches of this epoch."""
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        """Lists of row indices."""
        for batch in self.batches:
            yield batch[self.process :: self.processes] or batch[:1]
