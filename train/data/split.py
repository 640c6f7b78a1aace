"""A dev split that is the same every time, and alike in its labels."""

import random
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

Example = TypeVar("Example")


def split_dev(
    examples: Sequence[Example],
    share: float,
    seed: int,
    stratum: Callable[[Example], Hashable],
) -> tuple[list[Example], list[Example]]:
    """Take a share of each stratum away for development.

    A stratum of one example stays in training. Fractions are carried from stratum to stratum, so
    that the whole dev set has its share too, also where every stratum is small.

    Args:
        examples: in the file's order.
        share: of the examples, 0..1.
        seed: equal seeds give equal splits.
        stratum: examples with equal values belong together.

    Returns:
        Train and dev, each in the file's order; dev has at least one example if there are two.
    """
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for index, example in enumerate(examples):
        groups[stratum(example)].append(index)
    chosen: set[int] = set()
    draw = random.Random(seed)
    owed = 0.0
    for group in groups.values():
        owed += len(group) * share
        count = min(round(owed), len(group) - 1)
        chosen.update(draw.sample(group, count))
        # What a tiny stratum could not give is not all asked of the next one.
        owed = min(owed - count, 1.0)
    if not chosen and len(examples) > 1:
        chosen.add(draw.choice(max(groups.values(), key=len)))
    train = [example for index, example in enumerate(examples) if index not in chosen]
    dev = [example for index, example in enumerate(examples) if index in chosen]
    return train, dev
