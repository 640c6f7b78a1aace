"""From label names to entity types: which tag begins, continues or ends an entity.

transformers knows ``B-`` and ``I-`` only and reads any other label as a continuation. Checkpoints
trained on BIOES, BILOU or BMES data, and those with bare labels (IO), are read here as their
authors meant them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.tensors import Array

BEGIN = frozenset("BSUW")
"""Prefixes of a token that starts an entity: begin, single, unit, whole."""
END = frozenset("ELSUW")
"""Prefixes of a token that no token of the same entity follows: end, last, single, unit, whole."""
PREFIXES = BEGIN | END | frozenset("IM")
"""All prefixes that a tag scheme may use; I and M are inside."""


@dataclass(frozen=True, slots=True)
class Tags:
    """What each label index means; every array has one entry per label."""

    types: list[str]
    """Entity types by type number, ``O`` among them."""
    type_of: NDArray[np.intp]
    """Label index -> type number."""
    begins: NDArray[np.bool_]
    """The label starts an entity, whatever stands before it."""
    ends: NDArray[np.bool_]
    """The label ends its entity, whatever comes after it."""


def read_tags(labels: Sequence[str]) -> Tags:
    """Recognise the tag scheme of a checkpoint's labels.

    With any ``B-`` or ``I-`` label, those prefixes are read as in transformers, and a label
    without a prefix continues an entity of its own name. Where every label but ``O`` has a prefix
    of BIOES, BILOU or BMES, those are read too. Otherwise labels are entity types as they stand,
    hyphens included.
    """
    prefixes = {_prefix(label) for label in labels if label != "O"}
    if not prefixes & {"B", "I"}:
        known: frozenset[str] = frozenset()
    elif prefixes <= PREFIXES:
        known = PREFIXES
    else:
        known = frozenset("BI")
    types: dict[str, int] = {}
    type_of, begins, ends = [], [], []
    for label in labels:
        prefix = _prefix(label)
        has_prefix = prefix in known
        type_of.append(types.setdefault(label[2:] if has_prefix else label, len(types)))
        begins.append(has_prefix and prefix in BEGIN)
        ends.append(has_prefix and prefix in END)
    return Tags(list(types), np.array(type_of, np.intp), np.array(begins), np.array(ends))


def group_starts(label_ids: Array, tags: Tags) -> NDArray[Any]:
    """Where a sequence of labels falls apart into entities (and runs of ``O``).

    Args:
        label_ids: label indices in text order, at least one.
        tags: from ``read_tags``.

    Returns:
        Indices into ``label_ids``, ascending, the first 0.
    """
    types = tags.type_of[label_ids]
    new = types[1:] != types[:-1]
    new |= tags.begins[label_ids[1:]]
    new |= tags.ends[label_ids[:-1]]
    return np.concatenate(([0], np.flatnonzero(new) + 1))


def _prefix(label: str) -> str:
    """The letter before the first hyphen, or nothing."""
    return label[0] if len(label) > 2 and label[1] == "-" else ""
