import dataclasses

import pytest

from contracts.errors import BackendFailure
from contracts.tasks import Task
from train.artifacts import ONNX_INT8, TORCH
from train.recipe import Gates
from train.verify import Measured, failures, judge

REFERENCE = Measured(TORCH, {"accuracy": 0.9}, {}, 1.0, 100, 10.0)


def int8(accuracy: float, agreement: float) -> Measured:
    return dataclasses.replace(
        REFERENCE, artifact=ONNX_INT8, dev={"accuracy": accuracy}, agreement=agreement, reasons=[]
    )


@pytest.mark.parametrize(
    ("accuracy", "agreement", "reasons"),
    [
        (0.9, 1.0, []),
        (0.895, 0.98, []),
        (0.95, 0.99, []),
        (0.894, 0.99, ["accuracy falls by 0.60 points"]),
        (0.9, 0.979, ["2.10% of labels differ"]),
        (0.5, 0.5, ["accuracy falls by 40.00 points", "50.00% of labels differ"]),
        (float("nan"), 1.0, ["accuracy falls by nan points"]),
    ],
)
def test_an_artifact_outside_the_limits_is_not_verified(
    accuracy: float, agreement: float, reasons: list[str]
) -> None:
    measured = int8(accuracy, agreement)
    measured.reasons.extend(
        judge(measured, REFERENCE, "accuracy", Task.TEXT_CLASSIFICATION, Gates())
    )
    assert len(measured.reasons) == len(reasons)
    for reason, start in zip(measured.reasons, reasons, strict=True):
        assert reason.startswith(start)
    assert measured.verified is (not reasons)


def test_differing_answers_alone_matter_to_classification_only() -> None:
    assert judge(int8(0.9, 0.5), REFERENCE, "accuracy", Task.QUESTION_ANSWERING, Gates()) == []


def test_refused_items_do_not_hide_in_a_score() -> None:
    assert failures([[], BackendFailure("broken")]) == ["1 items were refused, the first: broken"]
    assert failures([[], {}]) == []
