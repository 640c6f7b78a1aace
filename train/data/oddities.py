"""What a reader of scores must know about the data: texts in two parts, labels too rare to learn.

None of it stops a run; all of it is counted and told.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any


def count_oddities(
    parts: Mapping[str, Sequence[Any]],
    identity: Callable[[Any], Hashable],
    labels: Mapping[str, int],
) -> dict[str, int]:
    """Counts by a phrase that says what was counted; only what occurs.

    Args:
        parts: examples by ``train``, ``dev`` and ``test``.
        identity: equal for examples that ask the same thing.
        labels: how often each label occurs in train.
    """
    seen = {name: [identity(one) for one in examples] for name, examples in parts.items()}
    found = {f"twice in {name}": len(keys) - len(set(keys)) for name, keys in seen.items()}
    for name, others in (("dev", ("train",)), ("test", ("train", "dev"))):
        for other in others:
            known = set(seen[other])
            found[f"{name} also in {other}"] = sum(key in known for key in seen[name])
    by_count = Counter(labels.values())
    found["labels with one training example"] = by_count[1]
    found["labels without a training example"] = by_count[0]
    return {name: count for name, count in found.items() if count}
