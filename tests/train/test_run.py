"""Whole runs on tiny models: from a recipe to a version that answers."""

import json
from pathlib import Path
from typing import Any

import pytest

from contracts.bodies import BODIES
from contracts.errors import CheckpointError
from contracts.schemas import ClassificationBody
from handlers.load import load_pipeline
from model_store.backends.base import BackendChoice
from model_store.manifest import Artifact
from model_store.store import Store
from model_store.version import ModelVersion
from tests.train.runs import WRITERS, run, write_classification, write_recipe
from train import candidates
from train.artifacts import ONNX_INT8

INPUTS = {
    "classification": "please, my refund number 5",
    "ner": "Angela visited New York and Paris.",
    "qa": {"question": "Where was Angela?", "context": "Angela visited Paris in summer."},
    "summary": "The shop is open. The refund of 3 went to Paris. My parcel waits in Berlin.",
}
EPOCHS = {"ner": 15, "qa": 8, "summary": 15}
NO_ONNX = ("artifacts.onnx_fp32=false", "artifacts.onnx_int8=false")
WIDE = ("gates.max_score_loss=100", "gates.max_label_flips=100")


def answer(version: ModelVersion, inputs: Any, backend: str = "torch") -> Any:
    precision = "fp32" if backend == "torch" else "int8"
    pipeline = load_pipeline(version, BackendChoice(backend, precision, "cpu"))  # type: ignore[arg-type]
    body = BODIES[version.manifest.task].model_validate({"inputs": inputs})
    answers = pipeline(body.items())
    pipeline.close()
    return body.shape(answers)


@pytest.mark.parametrize("task", ["ner", "qa", "summary"])
def test_every_task_trains_to_a_published_version_that_answers(task: str, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, task, WRITERS[task](tmp_path), epochs=EPOCHS[task])
    version = run(recipe, tmp_path / "store", *NO_ONNX)

    assert version.id == "tiny@1"
    assert version.aliases == ("production",)
    assert [one.path for one in version.manifest.artifacts] == ["model.safetensors"]
    found = answer(version, INPUTS[task])
    if task == "ner":
        assert {(one["word"], one["entity_group"]) for one in found} >= {("New York", "LOC")}
    elif task == "qa":
        assert found["answer"] in INPUTS["qa"]["context"]  # type: ignore[index]
    else:
        assert found[0]["summary_text"]
    report = json.loads((version.folder / "report.json").read_text())
    losses = [epoch["loss"] for epoch in report["training"]["curves"]]
    assert len(losses) == EPOCHS[task]
    assert losses[-1] < losses[0]
    dev = report["scores"]["dev"][report["metric"]]
    assert report["training"]["best_dev"] == pytest.approx(dev)
    assert report["baselines"].keys() >= {"keywords"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> ModelVersion:
    """A classifier with all three artifacts."""
    folder = tmp_path_factory.mktemp("trained")
    recipe = write_recipe(folder, "classification", write_classification(folder), epochs=15)
    return run(recipe, folder / "store", *WIDE)


def test_a_run_leaves_three_verified_artifacts_and_a_model_that_learnt(
    trained: ModelVersion,
) -> None:
    kinds = [(one.format, one.precision) for one in trained.manifest.artifacts]
    assert kinds == [("torch", "fp32"), ("onnx", "fp32"), ("onnx", "int8")]
    assert all(one.verified and one.sha256 for one in trained.manifest.artifacts)
    assert trained.manifest.scores["accuracy"] == 1
    for backend in ("torch", "onnxruntime"):
        for text, label in (
            ("please, my refund number 99", "money"),
            ("please, my parcel number 98", "delivery"),
        ):
            assert answer(trained, text, backend)[0][0]["label"] == label
    page = (trained.folder / "report.md").read_text()
    for part in ("tuneserve train", "| onnx int8 |", "baseline: keywords", "transformers 5"):
        assert part in page


def test_transformers_loads_the_published_folder_unchanged(trained: ModelVersion) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(trained.folder)
    tokenizer = AutoTokenizer.from_pretrained(trained.folder)
    logits = model(**tokenizer("please, my refund number 99", return_tensors="pt")).logits
    assert model.config.id2label[int(logits.argmax())] == "money"
    assert "tuneserve_task" not in json.loads((trained.folder / "config.json").read_text())


def test_an_artifact_outside_the_gate_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The int8 file is replaced by one whose last layer has the wrong sign."""

    def damaged(onnx_fp32: Path, folder: Path, *_: Any) -> Artifact:
        import onnx
        from onnx import numpy_helper

        model = onnx.load(onnx_fp32)
        for tensor in model.graph.initializer:
            if "classifier" in tensor.name:
                array = -numpy_helper.to_array(tensor)
                tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        onnx.save(model, folder / ONNX_INT8.path)
        return ONNX_INT8

    monkeypatch.setattr(candidates, "compress_int8", damaged)
    recipe = write_recipe(tmp_path, "classification", write_classification(tmp_path), epochs=15)
    version = run(recipe, tmp_path / "store")

    kinds = [one.precision for one in version.manifest.artifacts if one.format == "onnx"]
    assert kinds == ["fp32"]
    assert not (version.folder / ONNX_INT8.path).exists()
    refused = json.loads((version.folder / "report.json").read_text())["artifacts"][-1]
    assert not refused["verified"]
    assert "labels differ from fp32" in " ".join(refused["reasons"])
    assert "labels differ from fp32" in (version.folder / "report.md").read_text()


def test_label_sets_numbers_and_pairs_are_learnt_too(tmp_path: Path) -> None:
    rows = [
        {
            "a": f"refund {i}" if i % 2 else f"parcel {i}",
            "b": "please",
            "labels": [["x"], []][i % 2],
        }
        for i in range(20)
    ]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    columns = 'text = "a"\ntext_pair = "b"\nlabel = "labels"'
    recipe = write_recipe(tmp_path, "classification", "train.jsonl", columns, epochs=1)
    multi = run(recipe, tmp_path / "store", *NO_ONNX)
    assert multi.manifest.problem_type == "multi_label_classification"
    (found,) = answer(multi, {"text": "refund", "text_pair": "please"})
    assert [one["label"] for one in found] == ["x"]

    rows = [{"text": f"refund {i}", "label": i / 10} for i in range(20)]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    settings = ("data.text=text", "data.label=label", "model.problem_type=regression")
    recipe = write_recipe(tmp_path, "classification", "train.jsonl", epochs=1)
    number = run(recipe, tmp_path / "store", *NO_ONNX, *settings, "model.name=number")
    assert number.manifest.problem_type == "regression"
    assert number.manifest.scores.keys() == {"pearson", "root_mean_square_error"}
    (found,) = answer(number, "refund 3")
    assert [one["label"] for one in found] == ["score"]


def test_equal_seeds_give_equal_weights_and_other_seeds_others(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, "classification", write_classification(tmp_path), epochs=1)
    hashes = [
        run(recipe, tmp_path / "store", *NO_ONNX, f"seed={seed}").manifest.artifacts[0].sha256
        for seed in (1, 1, 2)
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_early_stopping_ends_a_run_that_no_longer_gets_better(tmp_path: Path) -> None:
    recipe = write_recipe(
        tmp_path, "classification", write_classification(tmp_path), lr=1e-12, epochs=8
    )
    version = run(recipe, tmp_path / "store", *NO_ONNX, "early_stopping.patience=2")
    report = json.loads((version.folder / "report.json").read_text())
    assert len(report["training"]["curves"]) == 3


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (("optim.lr=1e30", "optim.max_grad_norm=0"), "lower optim.lr"),
        (("model.base=./nowhere",), "there is no folder ./nowhere"),
        (("data.label=topic",), 'no column "topic"'),
    ],
)
def test_a_failed_run_publishes_nothing(
    overrides: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path, "classification", write_classification(tmp_path))
    with pytest.raises(CheckpointError, match=reason):
        run(recipe, tmp_path / "store", *NO_ONNX, *overrides)
    assert Store(tmp_path / "store").names() == []
    assert not list((tmp_path / "store" / ".publishing").glob("*"))


def test_the_next_run_takes_the_next_version_and_the_alias(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, "classification", write_classification(tmp_path), epochs=1)
    run(recipe, tmp_path / "store", *NO_ONNX)
    second = run(recipe, tmp_path / "store", *NO_ONNX, 'publish.alias="canary"')
    store = Store(tmp_path / "store")
    assert second.id == "tiny@2"
    assert store.aliases("tiny") == {"production": 1, "canary": 2}
    item = ClassificationBody(inputs="refund").items()
    pipeline = load_pipeline(store.resolve("tiny@canary"), BackendChoice("torch", "fp32", "cpu"))
    assert isinstance(pipeline(item)[0], list)
