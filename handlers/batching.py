"""Which rows run together: a pure function."""

from collections.abc import Sequence


def plan_batches(lengths: Sequence[int], max_batch_tokens: int) -> list[list[int]]:
    """Group rows so that each padded batch fits the token budget (a row above it runs alone)."""
    raise NotImplementedError
