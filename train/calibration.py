"""Whether a classifier's scores can be read as probabilities, and the temperature that helps.

Both are computed from answers, not from logits: the logarithm of a softmax equals the logits up to
a constant that a softmax does not see, and the inverse of a sigmoid is the logit itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np

from contracts.errors import ServingError
from contracts.tensors import Array
from train.tasks.base import TrainTask
from train.tasks.classification import MULTI, REGRESSION, ClassificationTraining

BINS = 15
"""Of equal width over 0..1, as in Guo et al. (2017), so that numbers can be compared."""

SHARPEST, FLATTEST = 0.2, 5.0
"""Limits of a temperature: on a small dev set without an error the best one would be 0."""

SMALLEST = 1e-12
"""Scores are kept this far from 0 and 1, where their logarithm ends."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Of one artifact on one set.

    Attributes:
        error: expected calibration error, 0..1; 0 is perfect.
        temperature: divides the logits so that the log loss on this set is lowest.
        scaled_error: the error with that temperature, on the set that it was fitted on.
    """

    error: float
    temperature: float
    scaled_error: float


def has_probabilities(job: TrainTask) -> TypeGuard[ClassificationTraining]:
    """Whether the task's scores are probabilities of labels."""
    return isinstance(job, ClassificationTraining) and job.problem_type != REGRESSION


def calibrate(
    job: TrainTask, examples: Sequence[Any], answers: Sequence[Any]
) -> Calibration | None:
    """Measure a classifier's calibration; None for other tasks, for numbers, and for no answers.

    Args:
        job: of the task; its labels are settled.
        examples: labelled.
        answers: to ``job.items(examples)``; refused items are left out.
    """
    if not has_probabilities(job):
        return None
    pairs = [
        (example, {one["label"]: one["score"] for one in answer})
        for example, answer in zip(examples, answers, strict=True)
        if not isinstance(answer, ServingError)
    ]
    if not pairs:
        return None
    labels = job.labels
    scores = np.array([[found[label] for label in labels] for _, found in pairs])
    truth = np.array([[label in example.labels for label in labels] for example, _ in pairs])
    scores = np.clip(scores, SMALLEST, 1 - SMALLEST)
    several = job.problem_type == MULTI
    logits = np.log(scores) - np.log1p(-scores) if several else np.log(scores)
    temperature = fit_temperature(logits, truth, several=several)
    return Calibration(
        calibration_error(*_claims(logits, truth, several=several)),
        temperature,
        calibration_error(*_claims(logits / temperature, truth, several=several)),
    )


def calibration_error(confidence: Array, right: Array) -> float:
    """Expected calibration error: how far confidence and share of right answers are apart.

    The mean over ``BINS`` bins, weighted by their size (Naeini et al. 2015, Guo et al. 2017).

    Args:
        confidence: ``(claims,)``, 0..1.
        right: ``(claims,)``, true or false.
    """
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, weights=confidence - right, minlength=BINS)
    return float(np.abs(gaps).sum() / max(1, len(confidence)))


def fit_temperature(logits: Array, truth: Array, *, several: bool) -> float:
    """The temperature with the lowest log loss, between ``SHARPEST`` and ``FLATTEST``.

    Args:
        logits: ``(examples, labels)``.
        truth: ``(examples, labels)``, true or false.
        several: labels are independent (sigmoid); else one of them is right (softmax).
    """

    def loss(inverse: float) -> float:
        scaled = logits * inverse
        if several:
            return float(np.mean(np.logaddexp(0.0, scaled) - scaled * truth))
        return float(np.mean(np.logaddexp.reduce(scaled, axis=1) - scaled[truth]))

    return 1 / _lowest(loss, 1 / FLATTEST, 1 / SHARPEST)


def _claims(logits: Array, truth: Array, *, several: bool) -> tuple[Array, Array]:
    """What is claimed with which confidence: the best label, or every label for itself."""
    if several:
        return (1 / (1 + np.exp(-logits))).ravel(), truth.ravel()
    best = logits.argmax(axis=1)
    rows = np.arange(len(logits))
    total = np.logaddexp.reduce(logits, axis=1)
    return np.exp(logits[rows, best] - total), truth[rows, best]


def _lowest(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a convex function is lowest (log loss is convex in the inverse temperature)."""
    while high - low > 1e-4:
        third = (high - low) / 3
        if function(low + third) < function(high - third):
            high -= third
        else:
            low += third
    return (low + high) / 2
