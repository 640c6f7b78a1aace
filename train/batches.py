"""Which training rows share a step: rows of like length, bounded by rows and by padded tokens."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from contracts.tensors import IDS
from train.tasks.base import LabelledRow

STEP_TOKENS = 16
"""Rows are padded to a multiple of it: kernels are compiled for few shapes, little is wasted."""
IGNORED = -100
"""The target of a position from which nothing is learnt, as in transformers."""


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


def padded(tokens: int) -> int:
    """The length that a training row costs."""
    return -(-tokens // STEP_TOKENS) * STEP_TOKENS


def collate(
    rows: Sequence[LabelledRow],
    *,
    pad_id: int,
    max_tokens: int,
    per_token: bool,
    token_types: bool,
) -> dict[str, Any]:
    """One padded batch as torch tensors: inputs and targets by name.

    Args:
        rows: at least one.
        pad_id: the token that fills rows up.
        max_tokens: padding never passes it.
        per_token: targets are lists per token, filled up with -100.
        token_types: the model takes ``token_type_ids``.
    """
    import torch

    longest = max(map(len, rows))
    length = max(longest, min(padded(longest), max_tokens))
    shape = (len(rows), length)
    ids = np.full(shape, pad_id, dtype=IDS)
    mask = np.zeros(shape, dtype=IDS)
    types = np.zeros(shape, dtype=IDS)
    for index, one in enumerate(rows):
        ids[index, : len(one)] = one.row.input_ids
        mask[index, : len(one)] = 1
        types[index, : len(one)] = one.row.token_type_ids
    batch = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
    if token_types:
        batch["token_type_ids"] = torch.from_numpy(types)
    for name in rows[0].targets:
        values = [one.targets[name] for one in rows]
        if per_token:
            values = [value + [IGNORED] * (length - len(value)) for value in values]
        batch[name] = torch.tensor(values)
    return batch
