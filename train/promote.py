"""Whether a version may replace the one in production: both answer the same held-out data."""

import getpass
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from contracts.errors import CheckpointError
from model_store.hashing import verify_hashes
from model_store.manifest import Promotion
from model_store.store import PRODUCTION, Store
from model_store.version import ModelVersion
from train.judge import POINT, SLACK
from train.measure import answers_of
from train.tasks.base import TrainTask
from train.verify import in_order


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether an alias moved, and what spoke against it.

    Attributes:
        version: what should take the alias's place.
        promotion: the record, as it stands in the manifest if the alias moved.
        moved: the alias points to the version now.
    """

    version: ModelVersion
    promotion: Promotion
    moved: bool

    @property
    def sentence(self) -> str:
        """What happened and why, and how to go on."""
        record = self.promotion
        alias, name = record.alias, self.version.id
        if not self.moved:
            return (
                f"{name} is not {alias}: {' '.join(record.reasons)} To move it nevertheless: "
                f"tuneserve promote {name} --data FILE --force."
            )
        beaten = ""
        if record.replaced_score is not None and record.score is not None:
            beaten = (
                f", {record.metric} {record.score:.4f} on {record.examples} held-out examples; "
                f"{self.version.name}@{record.replaced} has {record.replaced_score:.4f}"
            )
        against = f", by force, though: {' '.join(record.reasons)}" if record.forced else ""
        return f"{name} is {alias}{beaten}{against or '.'}"


def promote(
    store: Store,
    version: ModelVersion,
    job: TrainTask,
    examples: Sequence[Any],
    *,
    score: float,
    against: Sequence[str] = (),
    alias: str = PRODUCTION,
    force: bool = False,
    why: str = "",
) -> Decision:
    """Point an alias to a version that is inside the gate and not worse than what it replaces.

    Args:
        store: of the version.
        version: published.
        job: of the version: scores the answers of both.
        examples: held out from both.
        score: of the version's fp32 checkpoint on these examples, by the task's metric.
        against: reasons of the gate, if it did not pass.
        alias: what is moved.
        force: move it whatever speaks against it; the manifest keeps both.
        why: what a person has to say about it, for the manifest.

    Raises:
        CheckpointError: the alias was moved while the versions were compared.
    """
    replaced = store.aliases(version.name).get(alias)
    reasons = list(against)
    other: float | None = None
    if replaced is not None and replaced != version.version:
        try:
            other = score_of(store.resolve(f"{version.name}@{replaced}"), job, examples)
        except CheckpointError as error:
            reasons.append(f"{version.name}@{replaced} cannot be compared: {error}")
        else:
            reasons += judge_successor(job.metric, score, other, f"{version.name}@{replaced}")
    promotion = Promotion(
        alias=alias,
        by=_user(),
        replaced=replaced,
        metric=job.metric,
        score=score,
        replaced_score=other,
        examples=len(examples),
        reasons=reasons,
        forced=force and bool(reasons),
        why=why,
    )
    moved = force or not reasons
    if moved:
        store.promote(version.name, version.version, promotion)
        version = store.resolve(f"{version.name}@{version.version}")
    return Decision(version, promotion, moved)


def judge_successor(metric: str, score: float, other: float, name: str) -> list[str]:
    """A sentence if a version is worse than the one it would replace."""
    if score >= other - SLACK:
        return []
    return [
        f"{metric} is {score:.4f}, and {name}, which it would replace, has {other:.4f} on the same "
        f"held-out examples ({(other - score) / POINT:.2f} points more)."
    ]


def score_of(version: ModelVersion, job: TrainTask, examples: Sequence[Any]) -> float:
    """The score of a version's fp32 checkpoint on examples of another version's task.

    Labels that it does not have are answered wrongly.

    Raises:
        CheckpointError: it has another task, or cannot be loaded.
    """
    if version.manifest.task is not job.task:
        raise CheckpointError(f"its task is {version.manifest.task}, not {job.task}.")
    verify_hashes(version)
    answers = answers_of(version, in_order(version)[0], job, examples)
    return job.score(examples, answers)[job.metric]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's number without a name
        return "unknown"
