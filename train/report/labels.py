"""How a classifier does on held-out texts: label by label, pair by pair, and how sure it is."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from contracts.errors import ServingError
from train.report.excerpt import place, short
from train.scores import f1
from train.tasks.classification import (
    MULTI,
    REGRESSION,
    THRESHOLD,
    ClassificationTraining,
    LabelledText,
)

BINS = 10
"""Of equal width, as in Guo et al. 2017."""


def scores_of(answer: Any) -> dict[str, float]:
    """Label to score; empty for an error."""
    if isinstance(answer, ServingError):
        return {}
    return {one["label"]: one["score"] for one in answer}


def chosen(job: ClassificationTraining, answer: Any) -> set[str]:
    """The labels that an answer stands for."""
    scores = scores_of(answer)
    if job.problem_type == MULTI:
        return {label for label, score in scores.items() if score >= THRESHOLD}
    return {max(scores, key=scores.__getitem__)} if scores else set()


def per_label(
    job: ClassificationTraining, examples: Sequence[LabelledText], answers: Sequence[Any]
) -> list[dict[str, Any]]:
    """Precision, recall, F1 and support of each label, in the model's order."""
    right, claimed, wanted = Counter[str](), Counter[str](), Counter[str]()
    for example, answer in zip(examples, answers, strict=True):
        found = chosen(job, answer)
        right.update(found & set(example.labels))
        claimed.update(found)
        wanted.update(example.labels)
    return [
        {
            "label": name,
            "precision": right[name] / claimed[name] if claimed[name] else 0.0,
            "recall": right[name] / wanted[name] if wanted[name] else 0.0,
            "F1": f1(right[name], claimed[name], wanted[name]),
            "support": wanted[name],
        }
        for name in job.labels
    ]


def confusion(
    job: ClassificationTraining, examples: Sequence[LabelledText], answers: Sequence[Any]
) -> dict[str, Any]:
    """Counts by true label (rows) and answer (columns), in the model's order.

    An item that was refused has no answer, and is in no column.
    """
    place = {name: number for number, name in enumerate(job.labels)}
    counts = [[0] * len(job.labels) for _ in job.labels]
    for example, answer in zip(examples, answers, strict=True):
        for found in chosen(job, answer):
            counts[place[example.labels[0]]][place[found]] += 1
    return {"labels": list(job.labels), "counts": counts}


def calibration(
    job: ClassificationTraining, examples: Sequence[LabelledText], answers: Sequence[Any]
) -> dict[str, Any]:
    """How often answers of one confidence are right, in ten bins of equal width.

    One label: the confidence is the best label's score. Several: every label's score is a claim
    that the label is there. ``ece`` is the mean of ``|confidence - share right|`` over the claims
    (expected calibration error, Guo et al. 2017); empty bins are left out.
    """
    claims: list[tuple[float, bool]] = []
    for example, answer in zip(examples, answers, strict=True):
        scores = scores_of(answer)
        if job.problem_type == MULTI:
            claims += [(score, label in example.labels) for label, score in scores.items()]
        elif scores:
            best = max(scores, key=scores.__getitem__)
            claims.append((scores[best], best in example.labels))
    held: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for score, right in claims:
        held[min(BINS - 1, int(score * BINS))].append((score, right))
    bins = [
        {
            "from": number / BINS,
            "to": (number + 1) / BINS,
            "count": len(one),
            "confidence": sum(score for score, _ in one) / len(one),
            "right": sum(right for _, right in one) / len(one),
        }
        for number, one in enumerate(held)
        if one
    ]
    gaps = sum(one["count"] * abs(one["confidence"] - one["right"]) for one in bins)
    return {"ece": gaps / len(claims), "bins": bins} if claims else {}


def worst_texts(
    job: ClassificationTraining, examples: Sequence[LabelledText], answers: Sequence[Any]
) -> list[tuple[Any, dict[str, str]]]:
    """Every wrong answer with its badness: how sure it was, or how far off a number is."""
    errors: list[tuple[Any, dict[str, str]]] = []
    for example, answer in zip(examples, answers, strict=True):
        scores = scores_of(answer)
        if job.problem_type == REGRESSION:
            value = next(iter(scores.values()), 0.0)
            bad = abs(value - example.value)
            expected, said, score = f"{example.value:g}", f"{value:.3g}", f"off by {bad:.3g}"
        else:
            found, gold = chosen(job, answer), set(example.labels)
            if found == gold:
                continue
            sure = [scores[label] for label in found - gold]
            if job.problem_type == MULTI and scores:
                # A label that is left out is a claim, too.
                sure += [1 - scores.get(label, 0.0) for label in gold - found]
            bad = max(sure, default=0.0)
            expected = ", ".join(sorted(gold)) or "(none)"
            said = ", ".join(sorted(found)) or "(none)"
            score = f"confidence {bad:.3f}"
        if isinstance(answer, ServingError):
            said = f"refused: {answer}"
        text = short(example.text)
        if example.text_pair is not None:
            text = f"{text}\n\n{short(example.text_pair)}"
        errors.append(
            (
                bad,
                {
                    "where": place(example.where),
                    "text": text,
                    "expected": expected,
                    "answer": said,
                    "score": score,
                },
            )
        )
    return errors
