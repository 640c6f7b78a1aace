"""Which weights of a model did not come from its base: they are random, and have more to learn."""

from collections.abc import Collection
from typing import Any

MARK = "tuneserve_new"
"""The attribute of a parameter that says so."""


def mark_new(model: Any, names: Collection[str]) -> None:
    """Mark parameters by their names in the model; names of none are passed over."""
    for name, value in model.named_parameters():
        if name in names:
            setattr(value, MARK, True)


def is_new(parameter: Any) -> bool:
    """Whether a parameter was marked."""
    return bool(getattr(parameter, MARK, False))
