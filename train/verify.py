"""The gate: an artifact answers held-out data through the server's pipeline before it serves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model_store.hashing import verify_hashes
from model_store.manifest import Artifact
from model_store.version import ModelVersion
from train.judge import failures, judge, judge_gain
from train.measure import Measured, measure_one
from train.recipe import Gates
from train.tasks.base import TrainTask

__all__ = ["Measured", "Verification", "constant_answers", "measure", "verify"]


@dataclass(frozen=True, slots=True)
class Verification:
    """A published version on labelled data.

    Attributes:
        version: what was measured.
        metric: the task's score.
        examples: how many were held out.
        baseline: that score without a model.
        measured: one per artifact; the first is the reference.
    """

    version: ModelVersion
    metric: str
    examples: int
    baseline: float
    measured: list[Measured]

    @property
    def score(self) -> float:
        """Of the reference."""
        return self.measured[0].dev[self.metric]

    @property
    def reasons(self) -> list[str]:
        """Why the version is outside the gate, artifact by artifact; empty: it passed."""
        return [
            f"{one.artifact.format} {one.artifact.precision}: {reason}"
            for one in self.measured
            for reason in one.reasons
        ]

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for programs."""
        return {
            "model": self.version.name,
            "version": self.version.version,
            "metric": self.metric,
            "examples": self.examples,
            "score": self.score,
            "baseline": self.baseline,
            "passed": not self.reasons,
            "reasons": self.reasons,
            "artifacts": [one.as_dict() for one in self.measured],
        }


def verify(version: ModelVersion, job: TrainTask, examples: Sequence[Any]) -> Verification:
    """Measure all artifacts of a version again, on data that it did not learn from.

    Args:
        version: of the store, or a plain folder.
        job: scores answers; its recipe has the limits. See ``train.labelled``.
        examples: all of them are used.

    Raises:
        CheckpointError: an artifact cannot be loaded, or is not the file that was published.
    """
    verify_hashes(version)
    # The commonest answer of the same data: no training data are at hand, and none can be harder.
    baseline = constant_answers(job, examples, examples)
    measured = measure(
        version, in_order(version), job, job.recipe.gates, examples, [], baseline=baseline
    )
    floor = job.score(examples, baseline)[job.metric]
    return Verification(version, job.metric, len(examples), floor, measured)


def in_order(version: ModelVersion) -> list[Artifact]:
    """Its artifacts, the reference first: fp32 torch, or the nearest to it."""
    return sorted(
        version.manifest.artifacts, key=lambda one: (one.precision != "fp32", one.format != "torch")
    )


def measure(
    version: ModelVersion,
    artifacts: Sequence[Artifact],
    job: TrainTask,
    gates: Gates,
    dev: Sequence[Any],
    test: Sequence[Any],
    *,
    baseline: Sequence[Any] | None = None,
) -> list[Measured]:
    """Measure and judge artifacts of a version; the first is the reference of the others.

    Runtimes are loaded one after the other, since their threads would fight for the cores.

    Args:
        version: the artifacts'.
        artifacts: at least one; the first should be fp32.
        job: of the task; its labels are settled.
        gates: the limits.
        dev: held-out examples, at least one.
        test: more of them, scored only: by the first, and by those that are not fp32.
        baseline: answers to ``dev`` that need no model, which the reference must beat; default: it
            need not beat any.

    Raises:
        CheckpointError: an artifact cannot be loaded.
    """
    found: list[Measured] = []
    expected: list[Any] = []
    for artifact in artifacts:
        # Another fp32 that agrees on dev has the same test scores; they are not worth their time.
        scored = test if not found or artifact.precision != "fp32" else []
        measured, answers = measure_one(
            version, artifact, job, dev, scored, expected if found else None
        )
        found.append(measured)
        if len(found) == 1:
            expected = answers
            if baseline is not None:
                measured.reasons.extend(judge_gain(job, dev, answers, baseline, gates))
        measured.reasons.extend(judge(measured, found[0], job.metric, job.task, gates))
        measured.reasons.extend(failures(answers))
    return found


def constant_answers(job: TrainTask, train: Sequence[Any], dev: Sequence[Any]) -> list[Any]:
    """Answers to ``dev`` of the plainest baseline: the commonest label, the mean, no entity.

    For summaries, where nothing is commonest, it is the first sentences.
    """
    return next(iter(job.baselines(train, dev).values()))
