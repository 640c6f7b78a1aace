"""What the gate measures, and what it refuses."""

import dataclasses
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import BackendFailure, CheckpointError, ServingError
from contracts.schemas import ClassificationBody
from contracts.tasks import Task
from model_store.manifest import Artifact
from model_store.sources import open_source
from model_store.store import Store
from model_store.version import ModelVersion
from tests.models import tiny_checkpoint
from tests.train.damage import noise_weights, quantize_dynamic
from tests.train.runs import WRITERS, run, tiny_base, write_classification, write_recipe
from train import candidates
from train.artifacts import ONNX_INT8, TORCH, compress_int8
from train.calibration import FLATTEST, SHARPEST, calibration_error, fit_temperature
from train.invariance import Company, difference
from train.judge import failures, judge
from train.labelled import read_held_out
from train.measure import Measured, load_artifact
from train.recipe import Gates
from train.recipe_model import SHORT_TASKS
from train.verify import verify

REFERENCE = Measured(TORCH, {"accuracy": 0.9}, {}, 1.0, 100, 10.0)
GATE = "gates.min_gain=1"
NO_ONNX = ("artifacts.onnx_fp32=false", "artifacts.onnx_int8=false")


def int8(accuracy: float = 0.9, agreement: float = 1.0, **more: Any) -> Measured:
    fields = {"artifact": ONNX_INT8, "dev": {"accuracy": accuracy}, "bytes": 40, "reasons": []}
    return dataclasses.replace(REFERENCE, agreement=agreement, **{**fields, **more})


def reasons(measured: Measured, task: Task = Task.TEXT_CLASSIFICATION) -> list[str]:
    return judge(measured, REFERENCE, "accuracy", task, Gates())


@pytest.mark.parametrize(
    ("accuracy", "agreement", "expected"),
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
    accuracy: float, agreement: float, expected: list[str]
) -> None:
    measured = int8(accuracy, agreement)
    measured.reasons.extend(reasons(measured))
    assert len(measured.reasons) == len(expected)
    for reason, start in zip(measured.reasons, expected, strict=True):
        assert reason.startswith(start)
    assert measured.verified is (not expected)


def test_differing_answers_alone_matter_to_classification_only() -> None:
    assert reasons(int8(0.9, 0.5), Task.QUESTION_ANSWERING) == []


def test_int8_must_be_smaller_or_faster_than_fp32() -> None:
    (reason,) = reasons(int8(bytes=100))
    assert "neither smaller than fp32 nor faster" in reason
    assert reasons(int8(bytes=100, items_per_s=11.0)) == []
    slow = dataclasses.replace(REFERENCE, p50_ms=2.0)
    lone = int8(bytes=100, p50_ms=1.0)
    assert judge(lone, slow, "accuracy", Task.TEXT_CLASSIFICATION, Gates()) == []
    assert reasons(int8(bytes=99, items_per_s=1.0)) == []


def test_answers_that_change_in_a_batch_are_refused() -> None:
    assert reasons(int8(company=Company(64, 0, 0.0))) == []
    (reason,) = reasons(int8(company=Company(64, 3, 0.25)))
    assert reason.startswith("3 of 64 answers change in a batch")
    (reason,) = reasons(int8(batchable=False))
    assert "dynamic int8" in reason


def test_answers_differ_by_their_scores_or_by_what_they_name() -> None:
    label, other = {"label": "a", "score": 0.5}, {"label": "b", "score": 0.25}
    assert difference([label, other], [other, label]) == 0
    assert difference([label], [{**label, "score": 0.375}]) == 0.125
    assert difference([label], [other]) == float("inf")
    span = {"answer": "x", "start": 1, "end": 2, "score": 0.5}
    assert difference(span, {**span, "start": 0}) == float("inf")
    assert difference({"summary_text": "x"}, {"summary_text": "x"}) == 0
    assert difference(BackendFailure("broken"), span) == float("inf")


def test_refused_items_do_not_hide_in_a_score() -> None:
    assert failures([[], BackendFailure("broken")]) == ["1 items were refused, the first: broken"]
    assert failures([[], {}]) == []


def test_calibration_error_is_the_gap_between_confidence_and_truth() -> None:
    right = np.array([True] * 6 + [False] * 4)
    assert calibration_error(np.full(10, 0.6), right) == pytest.approx(0)
    assert calibration_error(np.full(10, 0.9), right) == pytest.approx(0.3)
    # Two bins, 0.1 too sure and 0.2 too shy, six and four of ten.
    confidence = np.array([0.6] * 6 + [0.3] * 4)
    right = np.array([1, 1, 1, 0, 0, 0, 1, 1, 0, 0])
    assert calibration_error(confidence, right) == pytest.approx(0.6 * 0.1 + 0.4 * 0.2)


@given(st.floats(0.5, 3.0), st.booleans(), st.integers(0, 99))
def test_the_temperature_that_spoilt_the_logits_is_found(
    temperature: float, several: bool, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(4000, 3)) * 2
    if several:
        truth = draw.random(logits.shape) < 1 / (1 + np.exp(-logits))
    else:
        noise = draw.gumbel(size=logits.shape)  # the largest sum is drawn by the softmax
        truth = np.eye(3, dtype=bool)[(logits + noise).argmax(axis=1)]
    found = fit_temperature(logits * temperature, truth, several=several)
    assert found == pytest.approx(temperature, rel=0.15)


def test_a_temperature_stays_within_its_limits() -> None:
    truth = np.eye(2, dtype=bool)
    assert fit_temperature(truth * 2.0, truth, several=False) == pytest.approx(SHARPEST, rel=1e-3)
    assert fit_temperature(truth * -2.0, truth, several=False) == pytest.approx(FLATTEST, rel=1e-2)


def write_shuffled(folder: Path) -> str:
    """Texts and labels of two classes, paired by chance."""
    (folder / write_classification(folder)).unlink()
    draw = random.Random(5)
    labels = ["money", "delivery"] * 60
    draw.shuffle(labels)
    words = ["refund", "parcel", "shop", "order"]
    lines = [
        f'"please, my {draw.choice(words)} number {i}",{each}' for i, each in enumerate(labels)
    ]
    (folder / "train.csv").write_text("\n".join(["text,label", *lines]))
    return "train.csv"


def test_a_model_trained_on_shuffled_labels_is_not_published(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, "classification", write_shuffled(tmp_path), epochs=3)
    with pytest.raises(CheckpointError, match=r"is not published: accuracy is .* without a model"):
        run(recipe, tmp_path / "store", *NO_ONNX, GATE, "data.dev_share=0.4")
    assert Store(tmp_path / "store").names() == []
    assert not list((tmp_path / "store" / ".publishing").glob("*"))


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> ModelVersion:
    """A version with three artifacts that passed all default gates."""
    folder = tmp_path_factory.mktemp("passed")
    recipe = write_recipe(folder, "classification", write_classification(folder), epochs=15)
    return run(recipe, folder / "store", GATE, "data.dev_share=0.4")


def test_a_model_that_learnt_passes_with_every_artifact(passed: ModelVersion) -> None:
    kinds = [(one.format, one.precision) for one in passed.manifest.artifacts]
    assert kinds == [("torch", "fp32"), ("onnx", "fp32"), ("onnx", "int8")]
    for one in passed.manifest.artifacts:
        assert one.scores.keys() == {"accuracy", "macro_f1", "agreement", "calibration_error"}
    assert passed.manifest.temperature is None


@pytest.mark.filterwarnings("ignore")  # the quantiser's own
@pytest.mark.parametrize(
    ("damage", "reason"),
    [("noise", "of labels differ from fp32"), ("dynamic", "It is dynamic int8")],
)
def test_a_bad_int8_artifact_is_left_out_with_its_reason(
    damage: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bad(onnx_fp32: Path, folder: Path, *args: Any) -> Artifact:
        made = compress_int8(onnx_fp32, folder, *args)
        if damage == "noise":
            noise_weights(folder / made.path)
        else:
            quantize_dynamic(onnx_fp32, folder / made.path)
        return made

    monkeypatch.setattr(candidates, "compress_int8", bad)
    recipe = write_recipe(tmp_path, "classification", write_classification(tmp_path), epochs=15)
    version = run(recipe, tmp_path / "store", GATE, "data.dev_share=0.4")
    assert version.artifact("onnx", "int8") is None
    assert version.artifact("onnx", "fp32") is not None
    assert not (version.folder / ONNX_INT8.path).exists()
    assert reason in (version.folder / "report.md").read_text()


def test_the_fitted_temperature_is_served_where_the_recipe_says_so(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, "classification", write_classification(tmp_path), epochs=8)
    plain, warm = (
        run(recipe, tmp_path / "store", *NO_ONNX, "data.dev_share=0.4", more)
        for more in ("gates.temperature=false", "gates.temperature=true")
    )
    temperature = warm.manifest.temperature
    assert plain.manifest.temperature is None
    assert temperature == pytest.approx(SHARPEST, rel=1e-3)  # not one dev example is wrong
    item = ClassificationBody(inputs="please, my refund number 7").items()
    scores = []
    for version in (plain, warm):
        pipeline = load_artifact(version, TORCH)
        (answer,) = pipeline(item)
        pipeline.close()
        assert not isinstance(answer, ServingError)
        scores.append(answer[0]["score"])
    logit = np.log(scores) - np.log1p(-np.array(scores))
    assert logit[1] == pytest.approx(logit[0] / temperature, rel=0.01)


def test_a_temperature_is_for_classification(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, "ner", WRITERS["ner"](tmp_path), epochs=1)
    with pytest.raises(CheckpointError, match="is for classification by labels"):
        run(recipe, tmp_path / "store", *NO_ONNX, "gates.temperature=true")
    assert Store(tmp_path / "store").names() == []


@pytest.mark.parametrize("task", WRITERS)
def test_a_published_version_of_every_task_is_measured(task: str, tmp_path: Path) -> None:
    kind = SHORT_TASKS[task]
    labels = {"classification": ["delivery", "money"]}.get(task)
    if task == "generation":
        folder = tiny_base(tmp_path / "plain", task)
    else:
        folder = tiny_checkpoint(tmp_path / "plain", "bert", kind, labels)
    version = open_source("plain", str(folder), cache_root=tmp_path / "cache")
    limits = Gates(min_gain=-1000)
    data = tmp_path / WRITERS[task](tmp_path)
    job, examples = read_held_out("plain", version.manifest, data, {}, limits)
    found = verify(version, job, examples)
    assert found.reasons == []
    (torch,) = found.measured
    assert torch.company == Company(min(64, len(examples)), 0, torch.company.difference)
    assert (torch.calibration is not None) is (task == "classification")

    job, examples = read_held_out("plain", version.manifest, data, {}, Gates())
    (reason,) = verify(version, job, examples).reasons
    assert f"{job.metric} is" in reason  # random weights beat no constant answer
