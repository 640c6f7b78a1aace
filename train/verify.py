"""The gate: an artifact answers held-out data through the server's pipeline before it serves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from contracts.errors import CheckpointError
from model_store.hashing import verify_file, verify_hashes
from model_store.manifest import Artifact
from model_store.version import ModelVersion
from train.judge import failures, judge, judge_gain, judge_losses
from train.measure import Measured, answers_of, measure_one, unusable
from train.recipe import Gates
from train.tasks.base import TrainTask

__all__ = ["Exam", "Measured", "Verification", "constant_answers", "verify"]


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
        CheckpointError: the reference cannot be loaded, or it or a file that all artifacts need is
            not the one that was published. Another artifact of which that is true is measured as
            refused.
    """
    artifacts = in_order(version)
    verify_hashes(version, without=[one.path for one in artifacts[1:]])
    # The commonest answer of the same data: no training data are at hand, and none can be harder.
    baseline = constant_answers(job, examples, examples)
    exam = Exam(version, job, job.recipe.gates, examples, [], baseline=baseline)
    measured = [exam.measure(one) for one in artifacts]
    floor = job.score(examples, baseline)[job.metric]
    return Verification(version, job.metric, len(examples), floor, measured)


def in_order(version: ModelVersion) -> list[Artifact]:
    """Its artifacts, the reference first: fp32 torch, or the nearest to it."""
    return sorted(
        version.manifest.artifacts, key=lambda one: (one.precision != "fp32", one.format != "torch")
    )


class Exam:
    """The same questions to one artifact of a version after the other; the first is the reference.

    Runtimes are loaded one after the other, since their threads would fight for the cores.
    """

    def __init__(
        self,
        version: ModelVersion,
        job: TrainTask,
        gates: Gates,
        dev: Sequence[Any],
        test: Sequence[Any],
        *,
        baseline: Sequence[Any] | None = None,
    ) -> None:
        """Nothing is loaded yet.

        Args:
            version: the artifacts'.
            job: of the task; its labels are settled.
            gates: the limits.
            dev: held-out examples, at least one.
            test: more of them, scored only: by the reference, and by those that are not fp32.
            baseline: answers to ``dev`` that need no model, which the reference must beat; default:
                it need not beat any.
        """
        self.version = version
        self.job = job
        self.gates = gates
        self.dev = dev
        self.test = test
        self.baseline = baseline
        self.reference: Measured | None = None
        self._expected: list[Any] = []

    def measure(self, artifact: Artifact) -> Measured:
        """Let an artifact answer, and judge it.

        One that cannot be loaded, or is not the file that was published, is outside the gate.

        Raises:
            CheckpointError: it is the first, and cannot be loaded.
        """
        if self.reference is None:
            return self._first(artifact)
        # Another fp32 that agrees on dev has the same test scores; they are not worth their time.
        test = self.test if artifact.precision != "fp32" else []
        try:
            if artifact.sha256:
                verify_file(self.version, artifact.path, artifact.sha256)
            measured, answers = measure_one(
                self.version, artifact, self.job, self.dev, test, self._expected
            )
        except CheckpointError as error:
            return unusable(self.version.folder, artifact, error)
        return self._judged(measured, answers)

    def losses(self, artifact: Artifact) -> list[str]:
        """What rounding costs an artifact on dev: a short exam, for one of several tries.

        Raises:
            CheckpointError: it cannot be loaded, or nothing was measured before.
        """
        if self.reference is None:
            raise CheckpointError("There is no reference to compare with.")
        job = self.job
        answers = answers_of(self.version, artifact, job, self.dev)
        agreement = job.agreement(self._expected, answers)
        short = Measured(artifact, job.score(self.dev, answers), {}, agreement, 0, 0.0)
        return judge_losses(short, self.reference, job.metric, job.task, self.gates)

    def lost(self, measured: Measured) -> bool:
        """Whether score or labels are all that keeps an artifact outside the gate."""
        if self.reference is None or not measured.answered:
            return False
        job = self.job
        losses = judge_losses(measured, self.reference, job.metric, job.task, self.gates)
        return bool(measured.reasons) and set(measured.reasons) <= set(losses)

    def _first(self, artifact: Artifact) -> Measured:
        measured, answers = measure_one(self.version, artifact, self.job, self.dev, self.test)
        self.reference, self._expected = measured, answers
        if self.baseline is not None:
            measured.reasons.extend(
                judge_gain(self.job, self.dev, answers, self.baseline, self.gates)
            )
        return self._judged(measured, answers)

    def _judged(self, measured: Measured, answers: Sequence[Any]) -> Measured:
        assert self.reference is not None
        job = self.job
        verdict = judge(
            measured, self.reference, job.metric, job.task, self.gates, generates=job.generates
        )
        measured.reasons.extend(verdict)
        measured.reasons.extend(failures(answers))
        return measured


def constant_answers(job: TrainTask, train: Sequence[Any], dev: Sequence[Any]) -> list[Any]:
    """Answers to ``dev`` of the plainest baseline: the commonest label, the mean, no entity.

    For summaries, where nothing is commonest, it is the first sentences.
    """
    return next(iter(job.baselines(train, dev).values()))
