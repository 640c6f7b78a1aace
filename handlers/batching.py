"""Which rows run together, and in what order.

A row is padded to a length that depends on the row alone, and only rows of one padded length share
a batch. So the numbers that the backend sees for a row never depend on its neighbours: batching
cannot show in an answer, and the shapes that a runtime has to compile for are few.
"""

import heapq
import itertools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")

_STEPS = ((64, 8), (128, 16), (256, 32), (512, 64), (1024, 128))
"""Up to so many tokens, lengths are multiples of so many: few tokens of padding, or a quarter."""
_FEW_STEPS = ((32, 8), (64, 16), (128, 32), (256, 64), (512, 128), (1024, 256))
"""Half as many lengths, and up to half a row of padding."""

Cut = Literal["budget", "length", "drained"]
"""Why a batch ends where it does: the token budget is full; only rows of other lengths or models
are left; nothing is left."""


def padded_length(tokens: int, max_tokens: int, *, few: bool = False) -> int:
    """The length a row is padded to: 8, 16, ... 64, 80, ... 128, 160, ... 256, 320, ... 512, ...

    Args:
        tokens: the row's own length, >= 1.
        max_tokens: what the model accepts; never passed, unless the row already does.
        few: as few lengths as is sensible, for a backend that makes kernels for each shape:
            8, 16, 24, 32, 48, 64, 96, 128, 192, ...
    """
    steps = _FEW_STEPS if few else _STEPS
    step = next((step for below, step in steps if tokens <= below), 2 * steps[-1][1])
    return max(tokens, min(-(-tokens // step) * step, max_tokens))


@dataclass(frozen=True, slots=True)
class Batch(Generic[Key, Item]):
    """Rows that run together."""

    key: Key
    """The model."""
    padded_tokens: int
    """What each row is padded to."""
    items: list[Item]
    """The rows, earliest deadline first."""
    cut: Cut


class RowQueue(Generic[Key, Item]):
    """Rows that wait, grouped by model and padded length; the earliest deadline goes first.

    The group that holds the earliest deadline gives the next batch, filled from that group in order
    of deadline. So no group starves: a row overtakes another only by an earlier deadline, or by
    sharing a batch with one that has it.
    """

    def __init__(self, budget: Callable[[Key], int]) -> None:
        """Start empty.

        Args:
            budget: padded tokens of one batch, by model; a longer row runs alone.
        """
        self._budget = budget
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

    def pop(self, parts: int = 1) -> Batch[Key, Item]:
        """Take the next batch.

        Args:
            parts: batches that can run at the same time from now on; the rows of the group are
                shared out among them.

        Raises:
            IndexError: nothing waits.
        """
        if not self._groups:
            raise IndexError("no row waits")
        key, padded = name = min(self._groups, key=lambda each: self._groups[each][0][:2])
        group = self._groups[name]
        room = min(max(1, self._budget(key) // padded), -(-len(group) // parts))
        rows = [heapq.heappop(group)[2] for _ in range(min(room, len(group)))]
        cut: Cut = "budget"
        if not group:
            del self._groups[name]
            cut = "length" if self._groups else "drained"
        return Batch(key, padded, rows, cut)


def plan_batches(padded_lengths: Sequence[int], max_batch_tokens: int) -> list[list[int]]:
    """Group rows that are all there already, in the order a ``RowQueue`` would run them.

    Args:
        padded_lengths: per row, see ``padded_length``.
        max_batch_tokens: padded tokens of one batch; a longer row runs alone.

    Returns:
        Lists of indices into ``padded_lengths``; every index appears exactly once, and all rows of
        a batch have the same padded length.
    """
    queue: RowQueue[None, int] = RowQueue(lambda _: max_batch_tokens)
    for index, padded in enumerate(padded_lengths):
        queue.push(None, padded, 0.0, index)
    batches = []
    while queue:
        batches.append(queue.pop().items)
    return batches
