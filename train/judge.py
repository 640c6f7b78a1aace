"""The gate's verdicts: one sentence for each limit that an artifact misses; none: it may serve."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from contracts.errors import ServingError
from contracts.tasks import Task
from train.invariance import TOLERANCES
from train.measure import Measured
from train.recipe import Gates
from train.tasks.base import TrainTask

POINT = 0.01
"""One point of a score."""
SLACK = 1e-9
"""Rounding of differences that stand exactly at a limit."""
CHANCE = 1.0
"""Standard errors that a gain must exceed by ``gates.min_gain``: labels that mean nothing beat the
baseline by so much in one run of six, and good ones can show it on a few dozen examples."""


def judge(
    measured: Measured,
    reference: Measured,
    metric: str,
    task: Task,
    gates: Gates,
    *,
    generates: bool = False,
) -> list[str]:
    """Compare an artifact with the fp32 reference.

    Args:
        measured: what is judged; if it is the reference itself, only its company matters.
        reference: the fp32 checkpoint on the same data.
        metric: the task's score.
        task: labels are compared in classification only.
        gates: the limits.
        generates: a share of answers may change in a batch.
    """
    reasons = judge_company(measured, gates.max_changed_answers if generates else 0.0)
    if measured is reference:
        return reasons
    reasons += judge_losses(measured, reference, metric, task, gates)
    if (
        measured.artifact.precision != "fp32"
        and measured.bytes >= reference.bytes
        and measured.items_per_s <= reference.items_per_s
        and measured.p50_ms >= reference.p50_ms
    ):
        reasons.append("It is neither smaller than fp32 nor faster, alone or in a batch.")
    return reasons


def judge_losses(
    measured: Measured, reference: Measured, metric: str, task: Task, gates: Gates
) -> list[str]:
    """What rounding costs: score, and labels; arguments as for ``judge``."""
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


def judge_company(measured: Measured, allowed_share: float = 0.0) -> list[str]:
    """Whether answers depend on their neighbours in the batch.

    Args:
        measured: what is judged.
        allowed_share: per cent of answers that may: of texts, whose tokens can stand so close that
            another order of summation changes one.
    """
    reasons = []
    if not measured.batchable:
        reasons.append(
            "It is dynamic int8: its scales span the batch, so that an answer depends on its "
            "neighbours; make a static one with `tuneserve export --precision int8`."
        )
    company = measured.company
    if company is not None and allowed_share:
        share = 100 * company.changed / max(1, company.items)
        if share > allowed_share + SLACK:
            reasons.append(
                f"{company.changed} of {company.items} answers change in a batch ({share:.1f}%, "
                f"and {allowed_share:g}% are allowed)."
            )
    elif company is not None and company.changed:
        allowed = TOLERANCES[measured.artifact.precision]
        reasons.append(
            f"{company.changed} of {company.items} answers change in a batch (scores by up to "
            f"{company.difference:.2g}, and {allowed:g} is allowed)."
        )
    return reasons


def judge_gain(
    job: TrainTask,
    examples: Sequence[Any],
    answers: Sequence[Any],
    baseline: Sequence[Any],
    gates: Gates,
) -> list[str]:
    """Whether a model knows more than a constant answer does, beyond what chance gives.

    Args:
        job: scores.
        examples: held out.
        answers: the model's.
        baseline: the answers of a method that does not look at the text, or hardly.
        gates: ``min_gain`` is asked for beyond ``CHANCE`` standard errors.
    """
    score = job.score(examples, answers)[job.metric]
    floor = job.score(examples, baseline)[job.metric]
    gain = (score - floor) / POINT
    noise = CHANCE * _standard_error(job, examples, answers, baseline) / POINT
    if gain >= gates.min_gain + noise - SLACK:
        return []
    return [
        f"{job.metric} is {score:.3f} on {len(examples)} held-out examples and {floor:.3f} without "
        f"a model; {gates.min_gain:g} points more are asked for, and {noise:.1f} that chance may "
        "give. Check that labels belong to their texts, train longer, hold out more examples, or "
        "lower gates.min_gain."
    ]


def failures(answers: Sequence[Any]) -> list[str]:
    """A sentence if held-out items were refused, which would hide in a score."""
    errors = [answer for answer in answers if isinstance(answer, ServingError)]
    return [f"{len(errors)} items were refused, the first: {errors[0]}"] if errors else []


def _standard_error(
    job: TrainTask, examples: Sequence[Any], answers: Sequence[Any], baseline: Sequence[Any]
) -> float:
    """Of the mean difference of both methods' scores, example by example.

    A correlation has no score of one example: its standard error without a relation is used. For
    F1 over all examples the mean of each one's F1 stands in.
    """
    count = len(examples)
    if job.metric == "pearson":
        return float(1 / max(1, count) ** 0.5)
    if count < 2:
        return 0.0
    gains = [
        job.score([example], [mine])[job.metric] - job.score([example], [other])[job.metric]
        for example, mine, other in zip(examples, answers, baseline, strict=True)
    ]
    return float(np.std(gains, ddof=1) / count**0.5)
