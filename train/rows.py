"""One training row with its targets, and how rows become a padded batch of tensors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from contracts.tensors import IDS
from handlers.tokenization import Row

INPUTS = frozenset(("input_ids", "attention_mask", "token_type_ids"))
"""What a model reads; everything else in a batch is a target."""
STEP_TOKENS = 16
"""Rows are padded to a multiple of it: kernels are compiled for few shapes, little is wasted."""
IGNORED = -100
"""The target of a position from which nothing is learnt, as in transformers."""


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """One token row with its targets.

    ``targets`` maps a name to a number, a list of one number per class, or (``per_token``) a list
    of one number per token, of the row or of an answer, -100 where nothing is to be learnt.
    """

    row: Row
    targets: dict[str, Any]

    def __len__(self) -> int:
        """Tokens, special tokens included."""
        return len(self.row)


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
    own_length: bool = False,
) -> dict[str, Any]:
    """One padded batch as torch tensors: inputs and targets by name.

    Args:
        rows: at least one.
        pad_id: the token that fills rows up.
        max_tokens: padding never passes it.
        per_token: targets are lists per token, filled up with -100.
        token_types: the model takes ``token_type_ids``.
        own_length: lists per token are as long as the longest of the batch, not as the rows.
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
            width = max(map(len, values)) if own_length else length
            values = [value + [IGNORED] * (width - len(value)) for value in values]
        batch[name] = torch.tensor(values)
    return batch
