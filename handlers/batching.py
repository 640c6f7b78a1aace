"""Which rows run together, and in what order.

A row is padded to a length that depends on the row alone, and only rows of one padded length share
a batch. So the numbers that the backend sees for a row never depend on its neighbours: batching
cannot show in an answer, and the shapes that a runtime has to compile for are few.
"""

import heapq
import itertools
from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")

_STEPS = (16, 32, 64, 128, 256, 512)


def padded_length(tokens: int, max_tokens: int) -> int:
    """The length a row is padded to: 16, 32, 64, ... 512, then multiples of 512.

    Args:
        tokens: the row's own length, >= 1.
        max_tokens: what the model accepts; never passed, unless the row already does.
    """
    for step in _STEPS:
        if tokens <= step:
            return max(tokens, min(step, max_tokens))
    return max(tokens, min(-(-tokens // 512) * 512, max_tokens))


class RowQueue(Generic[Key, Item]):
    """Rows that wait, grouped by model and padded length; the earliest deadline goes first.

    The group that holds the earliest deadline gives the next batch, filled from that group in order
    of deadline. So no group starves: a row overtakes another only by an earlier deadline, or by
    sharing a batch with one that has it.
    """

    def __init__(self, max_batch_tokens: int) -> None:
        """Start empty.

        Args:
            max_batch_tokens: padded tokens of one batch; a longer row runs alone.
        """
        self.max_batch_tokens = max_batch_tokens
        self._groups: dict[tuple[Key, int], list[tuple[float, int, Item]]] = {}
        self._arrivals = itertools.count()

    def __len__(self) -> int:
        """Rows that wait."""
        return sum(map(len, self._groups.values()))

    def __bool__(self) -> bool:
        return bool(self._groups)

    def push(self, key: Key, padded_tokens: int, deadline: float, item: Item) -> None:
        """Add a row; equal deadlines keep their order of arrival."""
        group = self._groups.setdefault((key, padded_tokens), [])
        heapq.heappush(group, (deadline, next(self._arrivals), item))

    def pop(self) -> tuple[Key, int, list[Item]]:
        """Take the next batch.

        Returns:
            The model's key, the length to pad to, and the rows, earliest deadline first.

        Raises:
            IndexError: nothing waits.
        """
        if not self._groups:
            raise IndexError("no row waits")
        key, padded = name = min(self._groups, key=lambda each: self._groups[each][0][:2])
        group = self._groups[name]
        room = max(1, self.max_batch_tokens // padded)
        rows = [heapq.heappop(group)[2] for _ in range(min(room, len(group)))]
        if not group:
            del self._groups[name]
        return key, padded, rows


def plan_batches(padded_lengths: Sequence[int], max_batch_tokens: int) -> list[list[int]]:
    """Group rows that are all there already, in the order a ``RowQueue`` would run them.

    Args:
        padded_lengths: per row, see ``padded_length``.
        max_batch_tokens: padded tokens of one batch; a longer row runs alone.

    Returns:
        Lists of indices into ``padded_lengths``; every index appears exactly once, and all rows of
        a batch have the same padded length.
    """
    queue: RowQueue[None, int] = RowQueue(max_batch_tokens)
    for index, padded in enumerate(padded_lengths):
        queue.push(None, padded, 0.0, index)
    batches = []
    while queue:
        batches.append(queue.pop()[2])
    return batches
