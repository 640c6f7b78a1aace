"""The gate: an artifact answers held-out data through the server's pipeline before it serves."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts.errors import ServingError
from contracts.tasks import Task
from handlers.load import load_pipeline
from model_store.backends.base import BackendChoice
from model_store.manifest import Artifact
from model_store.version import ModelVersion
from train.recipe import Gates
from train.tasks.base import Scores, TrainTask

POINT = 0.01
"""One point of a score."""
SLACK = 1e-9
"""Rounding of differences that stand exactly at a limit."""

BACKENDS = {"torch": "torch", "onnx": "onnxruntime"}
"""The runtime that measures an artifact's format."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one artifact did on held-out data.

    Attributes:
        dev: scores on the dev set.
        test: scores on the test set; empty without one.
        agreement: share of dev answers that equal the reference's.
        items_per_s: dev items, tokenisation included, in batches; of this machine and moment.
        reasons: why it is outside the gate; empty: verified.
    """

    artifact: Artifact
    dev: Scores
    test: Scores
    agreement: float
    bytes: int
    items_per_s: float
    reasons: list[str] = field(default_factory=list)

    @property
    def verified(self) -> bool:
        """Inside the gate."""
        return not self.reasons


def measure(
    version: ModelVersion,
    artifacts: Sequence[Artifact],
    job: TrainTask,
    gates: Gates,
    dev: Sequence[Any],
    test: Sequence[Any],
) -> list[Measured]:
    """Measure artifacts of a version; the first is the reference of the others.

    Runtimes are loaded one after the other, since their threads would fight for the cores.

    Raises:
        CheckpointError: an artifact cannot be loaded.
    """
    found: list[Measured] = []
    expected: list[Any] = []
    for artifact in artifacts:
        choice = BackendChoice(
            backend=BACKENDS[artifact.format],  # type: ignore[arg-type]
            precision=artifact.precision,
            device="cpu",
        )
        pipeline = load_pipeline(version, choice)
        started = time.perf_counter()
        answers = pipeline(job.items(dev))
        seconds = time.perf_counter() - started
        measured = Measured(
            artifact=artifact,
            dev=job.score(dev, answers),
            test=job.score(test, pipeline(job.items(test))) if test else {},
            agreement=job.agreement(expected, answers) if found else 1.0,
            bytes=pipeline.backend.bytes,
            items_per_s=len(dev) / seconds,
        )
        pipeline.close()
        if not found:
            expected = answers
            reasons = failures(answers)
        else:
            reasons = judge(measured, found[0], job.metric, job.task, gates) + failures(answers)
        measured.reasons.extend(reasons)
        found.append(measured)
    return found


def judge(
    measured: Measured, reference: Measured, metric: str, task: Task, gates: Gates
) -> list[str]:
    """Compare an artifact with the fp32 reference.

    Returns:
        One sentence per limit that it misses; none: it may serve.
    """
    reasons = []
    loss = (reference.dev[metric] - measured.dev[metric]) / POINT
    if not loss <= gates.max_score_loss + SLACK:
        reasons.append(
            f"{metric} falls by {loss:.2f} points against fp32, "
            f"and {gates.max_score_loss:g} are allowed."
        )
    flips = (1 - measured.agreement) * 100
    if task is Task.TEXT_CLASSIFICATION and not flips <= gates.max_label_flips + SLACK:
        reasons.append(
            f"{flips:.2f}% of labels differ from fp32, and {gates.max_label_flips:g}% are allowed."
        )
    return reasons


def failures(answers: Sequence[Any]) -> list[str]:
    """A sentence if held-out items were refused, which would hide in a score."""
    errors = [answer for answer in answers if isinstance(answer, ServingError)]
    return [f"{len(errors)} items were refused, the first: {errors[0]}"] if errors else []
