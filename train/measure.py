"""What one artifact does on held-out data, through the server's own pipeline."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from contracts.errors import CheckpointError
from handlers.generation_pipeline import GenerationPipeline
from handlers.load import load_pipeline
from handlers.pipeline import Pipeline
from model_store.backends.base import BackendChoice
from model_store.manifest import Artifact
from model_store.version import ModelVersion
from train.calibration import Calibration, calibrate
from train.invariance import Company, compare
from train.tasks.base import Scores, TrainTask

BACKENDS = {"torch": "torch", "onnx": "onnxruntime"}
"""The runtime that measures an artifact's format."""

LONE_ITEMS = 64
"""Items that are also answered alone, spread over the data: for latency, and against the batch."""

UNKNOWN_WITHOUT_ANSWERS = ("agreement", "items_per_s", "tokens_per_s", "p50_ms", "p99_ms", "load_s")
"""Numbers that mean nothing where an artifact did not answer."""

STATUS = Path("/proc/self/status")
PEAK_RESET = Path("/proc/self/clear_refs")
"""Linux only; elsewhere memory is not measured."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one artifact did on held-out data.

    Seconds, items per second and memory belong to this machine and moment.

    Attributes:
        dev: scores on the dev set; empty: the artifact could not be made or loaded.
        test: scores on the test set; empty without one.
        agreement: share of dev answers that equal the reference's.
        bytes: of the loaded artifact.
        items_per_s: dev items, tokenisation included, in batches.
        tokens_per_s: of the answers to them; None where answers are not written.
        reasons: why it is outside the gate; empty: verified.
        tried: what was measured before and found outside the gate, a sentence each: the same
            artifact with other parts in float.
        batchable: False for dynamic int8.
        company: items alone against the same in a batch.
        calibration: classification only.
        load_s: of tokenizer and artifact; imports included where they are the first.
        p50_ms: of one item alone, on the data's own lengths.
        p99_ms: the same.
        memory_bytes: by how much the resident memory of this process rose at most while it loaded
            and answered; memory that the process had free already is not seen. None: not Linux.
        answers: to the test set, or to the dev set where there is none.
    """

    artifact: Artifact
    dev: Scores
    test: Scores
    agreement: float
    bytes: int
    items_per_s: float
    reasons: list[str] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    batchable: bool = True
    company: Company | None = None
    calibration: Calibration | None = None
    load_s: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    memory_bytes: int | None = None
    tokens_per_s: float | None = None
    answers: list[Any] = field(default_factory=list, repr=False)

    @property
    def answered(self) -> bool:
        """Whether there is anything to compare: False if it could not be made or loaded."""
        return bool(self.dev)

    @property
    def verified(self) -> bool:
        """Inside the gate."""
        return not self.reasons

    @property
    def scores(self) -> Scores:
        """What the manifest keeps: all that belongs to the artifact and not to the machine."""
        scores = {**self.dev, "agreement": self.agreement}
        if self.calibration is not None:
            scores["calibration_error"] = self.calibration.error
        return scores

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for reports and programs; None for what could not be measured."""
        found = {
            "format": self.artifact.format,
            "precision": self.artifact.precision,
            "bytes": self.bytes,
            "dev": self.dev,
            "test": self.test,
            "agreement": self.agreement,
            "items_per_s": round(self.items_per_s, 1),
            "tokens_per_s": None if self.tokens_per_s is None else round(self.tokens_per_s, 1),
            "p50_ms": round(self.p50_ms, 2),
            "p99_ms": round(self.p99_ms, 2),
            "load_s": round(self.load_s, 3),
            "memory_bytes": self.memory_bytes,
            "company": _plain(self.company),
            "calibration": _plain(self.calibration),
            "verified": self.verified,
            "reasons": self.reasons,
            "float_parts": self.artifact.float_parts,
            "tried": self.tried,
        }
        if not self.answered:
            found |= dict.fromkeys(UNKNOWN_WITHOUT_ANSWERS)
        return found


def unusable(folder: Path, artifact: Artifact, error: CheckpointError) -> Measured:
    """What is told of an artifact that cannot be made or loaded: the reason, and its file's size.

    Args:
        folder: of the version; its place on this machine is left out of the reason.
        artifact: as it would have been.
        error: says why.
    """
    path = folder / artifact.path
    size = path.stat().st_size if path.is_file() else 0
    return Measured(artifact, {}, {}, 0.0, size, 0.0, reasons=[told(folder, error)])


def told(folder: Path, error: CheckpointError) -> str:
    """What an error says, without the place of the version's folder on this machine."""
    return str(error).replace(f"{folder}: ", "").replace(f"{folder}/", "")


def measure_one(
    version: ModelVersion,
    artifact: Artifact,
    job: TrainTask,
    dev: Sequence[Any],
    test: Sequence[Any],
    expected: Sequence[Any] | None = None,
) -> tuple[Measured, list[Any]]:
    """Load one artifact, let it answer, and free it; nothing is judged yet.

    Args:
        version: the artifact's.
        artifact: what is loaded.
        job: of the task; its labels are settled.
        dev: held-out examples, at least one.
        test: more of them, scored only.
        expected: the reference's answers to ``dev``; default: this is the reference.

    Returns:
        The measurements, without reasons, and the answers to ``dev``.

    Raises:
        CheckpointError: the artifact cannot be loaded.
    """
    before = _forget_peak()
    started = time.perf_counter()
    pipeline = load_artifact(version, artifact)
    load_s = time.perf_counter() - started
    items = job.items(dev)
    started = time.perf_counter()
    answers = pipeline(items)
    seconds = time.perf_counter() - started
    chosen = np.unique(np.linspace(0, len(items) - 1, LONE_ITEMS).astype(int)).tolist()
    alone, times = _answer_alone(pipeline, [items[index] for index in chosen])
    together = [answers[index] for index in chosen]
    tested = pipeline(job.items(test)) if test else []
    tokens = job.tokens(answers, pipeline.handler.tokenizer)
    measured = Measured(
        artifact=artifact,
        dev=job.score(dev, answers),
        test=job.score(test, tested) if test else {},
        agreement=1.0 if expected is None else job.agreement(expected, answers),
        bytes=pipeline.backend.bytes,
        items_per_s=len(dev) / seconds,
        batchable=pipeline.backend.batchable,
        tokens_per_s=None if tokens is None else tokens / seconds,
        company=compare(job, alone, together, artifact.precision),
        calibration=calibrate(job, dev, answers),
        load_s=load_s,
        p50_ms=float(np.percentile(times, 50)) * 1000,
        p99_ms=float(np.percentile(times, 99)) * 1000,
        memory_bytes=None if before is None else max(0, _status("VmHWM") - before),
        answers=list(tested or answers),
    )
    pipeline.close()
    return measured, answers


def load_artifact(version: ModelVersion, artifact: Artifact) -> Pipeline | GenerationPipeline:
    """The pipeline of one artifact on the CPU, in the runtime of its format.

    Raises:
        CheckpointError: the artifact cannot be loaded.
    """
    choice = BackendChoice(
        backend=BACKENDS[artifact.format],  # type: ignore[arg-type]
        precision=artifact.precision,
        device="cpu",
    )
    return load_pipeline(version, choice)


def answers_of(
    version: ModelVersion, artifact: Artifact, job: TrainTask, examples: Sequence[Any]
) -> list[Any]:
    """One artifact's answers to labelled examples, as the server would give them.

    Returns:
        One answer, or ``ServingError``, per example.

    Raises:
        CheckpointError: the artifact cannot be loaded.
    """
    pipeline = load_artifact(version, artifact)
    answers = pipeline(job.items(examples))
    pipeline.close()
    return answers


def _answer_alone(pipeline: Any, items: Sequence[Any]) -> tuple[list[Any], list[float]]:
    """Answers of items that have no neighbour, and the seconds that each took."""
    answers, times = [], []
    for item in items:
        started = time.perf_counter()
        answers += pipeline([item])
        times.append(time.perf_counter() - started)
    return answers, times


def _forget_peak() -> int | None:
    """Start a new peak of the resident memory; what it is now, in bytes."""
    try:
        PEAK_RESET.write_text("5")
        return _status("VmRSS")
    except OSError:
        return None


def _status(name: str) -> int:
    """One entry of the kernel's account of this process, in bytes."""
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{STATUS} has no {name}.")


def _plain(value: Company | Calibration | None) -> dict[str, Any] | None:
    return None if value is None else asdict(value)
