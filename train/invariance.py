"""Whether an answer depends on who shared its batch: items alone against the same in company."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.errors import ServingError
from train.tasks.base import TrainTask

TOLERANCES = {"int8": 0.0, "fp32": 1e-5, "bf16": 0.02, "fp16": 0.02}
"""How far a score may move with its company: what the README promises."""


@dataclass(frozen=True, slots=True)
class Company:
    """What company did to answers.

    Attributes:
        items: that were answered alone and in a batch.
        changed: of them, whose label, span or text differs, or a score by more than the tolerance.
        difference: the largest of a score, relative where scores are above 1; infinite where an
            answer names something else; 0 for written answers, which have no score.
    """

    items: int
    changed: int
    difference: float


def compare(
    job: TrainTask, alone: Sequence[Any], together: Sequence[Any], precision: str
) -> Company:
    """Compare answers of the same items, in the same order.

    Args:
        job: says which answers mean the same.
        alone: each item was the only one in its batch.
        together: the items were batched.
        precision: of the artifact; gives the tolerance.
    """
    if job.generates:
        changed = sum(not job.same(one, other) for one, other in zip(alone, together, strict=True))
        return Company(len(alone), changed, 0.0)
    differences = [difference(one, other) for one, other in zip(alone, together, strict=True)]
    changed = sum(
        apart > TOLERANCES[precision] or not job.same(one, other)
        for apart, one, other in zip(differences, alone, together, strict=True)
    )
    return Company(len(differences), changed, max(differences, default=0.0))


def difference(one: Any, other: Any) -> float:
    """The largest distance of two answers' scores; infinite if they name different things."""
    a, b = _scores(one), _scores(other)
    if a.keys() != b.keys():
        return float("inf")
    return max((abs(a[key] - b[key]) / max(1.0, abs(a[key])) for key in a), default=0.0)


def _scores(answer: Any) -> dict[Hashable, float]:
    """Scores by what they are scores of, for an answer of any task."""
    if isinstance(answer, ServingError):
        return {str(answer): 0.0}
    found: dict[Hashable, float] = {}
    for one in answer if isinstance(answer, list) else [answer]:
        name = tuple((key, value) for key, value in sorted(one.items()) if key != "score")
        found[name] = float(one.get("score", 0.0))
    return found
