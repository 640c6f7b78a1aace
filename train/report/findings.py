"""Where a model is right and where it is wrong: the part of a report that one learns from."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts.errors import ServingError
from train.report.excerpt import place, short
from train.report.labels import calibration, confusion, per_label, worst_texts
from train.scores import answer_scores, f1, rouge_n, words
from train.tasks.base import TrainTask
from train.tasks.classification import MULTI, REGRESSION, ClassificationTraining
from train.tasks.generation import GenerationTraining, text_of_answer
from train.tasks.ner import NerTraining
from train.tasks.qa import QaTraining
from train.tasks.summary import SummaryTraining

WORST = 20
"""Errors that are shown: as many as a person reads."""
ORDINARY = 5
"""Answers that are shown because nothing is special about them."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What the answers to held-out examples show.

    Attributes:
        part: ``test``, or ``dev`` where there is no test set.
        count: how many examples it was.
        groups: rows of one table, a label or a kind of question each: name to text or number.
        confusion: ``labels`` and ``counts`` (rows: the true label), or empty.
        calibration: ``ece`` and ``bins``, or empty.
        wrong: how many answers were not right.
        worst: ``where``, ``text``, ``expected``, ``answer`` and ``score`` (a sentence), worst
            first.
        ordinary: the same of written answers, evenly spread over the examples.
    """

    part: str = "dev"
    count: int = 0
    groups: list[dict[str, Any]] = field(default_factory=list)
    confusion: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    wrong: int = 0
    worst: list[dict[str, str]] = field(default_factory=list)
    ordinary: list[dict[str, str]] = field(default_factory=list)


def find(job: TrainTask, part: str, examples: Sequence[Any], answers: Sequence[Any]) -> Findings:
    """Compare answers with labels, one by one.

    Args:
        job: the task, with its labels settled.
        part: the name of the examples: ``dev`` or ``test``.
        examples: labelled.
        answers: the handler's, or ``ServingError``; one per example.
    """
    errors: list[tuple[Any, dict[str, str]]] = []
    groups: list[dict[str, Any]] = []
    matrix: dict[str, Any] = {}
    bins: dict[str, Any] = {}
    ordinary: list[dict[str, str]] = []
    if isinstance(job, ClassificationTraining):
        errors = worst_texts(job, examples, answers)
        if job.problem_type != REGRESSION:
            groups = per_label(job, examples, answers)
            bins = calibration(job, examples, answers)
        if job.problem_type not in (REGRESSION, MULTI):
            matrix = confusion(job, examples, answers)
    elif isinstance(job, NerTraining):
        groups, errors = _entities(examples, answers)
    elif isinstance(job, QaTraining):
        groups, errors = _questions(examples, answers)
    elif isinstance(job, SummaryTraining):
        errors = _summaries(examples, answers)
    elif isinstance(job, GenerationTraining):
        told = [_written(job, *pair) for pair in zip(examples, answers, strict=True)]
        errors = [one for one in told if one[0] > -1]
        step = max(1, len(told) // ORDINARY)
        ordinary = [one for _, one in told[step // 2 :: step][:ORDINARY]]
    errors.sort(key=lambda error: error[0], reverse=True)
    return Findings(
        part=part,
        count=len(examples),
        groups=groups,
        confusion=matrix,
        calibration=bins,
        wrong=len(errors),
        worst=[error for _, error in errors[:WORST]],
        ordinary=ordinary,
    )


def _entities(
    examples: Sequence[Any], answers: Sequence[Any]
) -> tuple[list[dict[str, Any]], list[tuple[Any, dict[str, str]]]]:
    right, claimed, wanted = Counter[str](), Counter[str](), Counter[str]()
    errors = []
    for example, answer in zip(examples, answers, strict=True):
        found = [] if isinstance(answer, ServingError) else answer
        gold = set(example.spans)
        spans = {(one["start"], one["end"], one["entity_group"]): one["score"] for one in found}
        right.update(kind for _, _, kind in gold & spans.keys())
        claimed.update(kind for _, _, kind in spans)
        wanted.update(kind for _, _, kind in gold)
        missed, invented = gold - spans.keys(), spans.keys() - gold
        if missed or invented or isinstance(answer, ServingError):
            sure = max((spans[span] for span in invented), default=0.0)
            errors.append(
                (
                    (len(missed) + len(invented), sure),
                    {
                        "where": place(example.where),
                        "text": short(example.text),
                        "expected": _spans(example.text, gold),
                        "answer": _said(answer) or _spans(example.text, spans),
                        "score": f"{len(missed)} missed, {len(invented)} not in the labels",
                    },
                )
            )
    groups = [
        {
            "type": kind,
            "precision": right[kind] / claimed[kind] if claimed[kind] else 0.0,
            "recall": right[kind] / wanted[kind] if wanted[kind] else 0.0,
            "F1": f1(right[kind], claimed[kind], wanted[kind]),
            "support": wanted[kind],
        }
        for kind in sorted(claimed.keys() | wanted.keys())
    ]
    return groups, errors


def _questions(
    examples: Sequence[Any], answers: Sequence[Any]
) -> tuple[list[dict[str, Any]], list[tuple[Any, dict[str, str]]]]:
    kinds: dict[str, list[tuple[float, float]]] = {"with an answer": [], "without an answer": []}
    errors = []
    for example, answer in zip(examples, answers, strict=True):
        failed = isinstance(answer, ServingError)
        text = "" if failed else answer["answer"]
        exact, score = answer_scores([one for _, one in example.answers], text)
        kinds["with an answer" if example.answers else "without an answer"].append((exact, score))
        if exact == 1 and not failed:
            continue
        sure = 0.0 if failed else answer["score"]
        start = example.answers[0][0] if example.answers else 0
        errors.append(
            (
                (-score, sure),
                {
                    "where": place(example.where),
                    "text": f"{example.question}\n\n{short(example.context, start)}",
                    "expected": " / ".join(dict.fromkeys(one for _, one in example.answers))
                    or "(no answer)",
                    "answer": _said(answer) or text or "(no answer)",
                    "score": f"F1 {score:.2f}, confidence {sure:.2f}",
                },
            )
        )
    groups = [
        {
            "questions": kind,
            "exact match": sum(exact for exact, _ in pairs) / len(pairs),
            "F1": sum(score for _, score in pairs) / len(pairs),
            "support": len(pairs),
        }
        for kind, pairs in kinds.items()
        if pairs
    ]
    return groups, errors


def _summaries(examples: Sequence[Any], answers: Sequence[Any]) -> list[tuple[Any, dict[str, str]]]:
    errors = []
    for example, answer in zip(examples, answers, strict=True):
        text = "" if isinstance(answer, ServingError) else answer["summary_text"]
        score = rouge_n(words(example.reference), words(text), 1)
        if score < 1:
            errors.append(
                (
                    -score,
                    {
                        "where": place(example.where),
                        "text": short(example.text),
                        "expected": example.reference,
                        "answer": _said(answer) or text,
                        "score": f"ROUGE-1 {score:.2f}",
                    },
                )
            )
    return errors


def _written(job: GenerationTraining, example: Any, answer: Any) -> tuple[Any, dict[str, str]]:
    """One written answer; how far it is from the nearest reference, -1 where it is that."""
    score = job.score([example], [answer])[job.metric]
    return (
        -score,
        {
            "where": place(example.where),
            "text": short(example.text),
            "expected": " / ".join(example.references),
            "answer": _said(answer) or text_of_answer(answer),
            "score": f"{job.metric} {score:.2f}",
        },
    )


def _spans(text: str, spans: Any) -> str:
    listed = [f"{text[start:end]} [{kind}]" for start, end, kind in sorted(spans)]
    return ", ".join(listed) or "(nothing)"


def _said(answer: Any) -> str:
    return f"refused: {answer}" if isinstance(answer, ServingError) else ""
