"""Int8 of models without labels: calibrated on texts, and embeddings measured against fp32."""

from pathlib import Path

import numpy as np
import pytest

from contracts.embeddings import EmbeddingItem, EmbeddingParameters
from contracts.errors import CheckpointError
from contracts.fill_mask import FillMaskItem, FillMaskParameters
from contracts.tasks import Task
from handlers.load import load_pipeline
from model_store.backends.base import BackendChoice
from model_store.manifest import Manifest
from model_store.sources import open_source
from model_store.version import ModelVersion
from tests.embedders import tiny_embedder
from tests.models import CORPUS, tiny_checkpoint
from tests.train.damage import hostile_to_int8
from train.export import add_artifact
from train.labelled import recipe_for
from train.measure import Measured
from train.recipe import Recipe
from train.unlabelled import MIN_COSINE, SAFE_COSINE

INT8 = BackendChoice(backend="onnxruntime", precision="int8", device="cpu", threads=1)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    words = CORPUS.split()
    path.write_text("\n".join(" ".join(words[n : n + 5 + n % 9]) for n in range(100)) + "\n\n")
    return path


def exported(folder: Path, texts: Path, tmp_path: Path) -> tuple[ModelVersion, list[Measured]]:
    version = open_source("it", str(folder), cache_root=tmp_path / "cache")
    to = tmp_path / "exported"
    to.mkdir()
    manifest, measured = add_artifact(version, to, "int8", texts)
    return ModelVersion("it", 1, to, manifest), list(measured)


def test_int8_embeddings_are_close_to_fp32_and_do_not_feel_their_company(
    texts: Path, tmp_path: Path
):
    version, measured = exported(tiny_embedder(tmp_path / "it"), texts, tmp_path)
    assert len(measured) == 2
    artifact = version.artifact("onnx", "int8")
    assert artifact is not None
    assert artifact.verified
    assert MIN_COSINE <= artifact.scores["least_cosine"] <= artifact.scores["agreement"]
    pipeline = load_pipeline(version, INT8)
    items = [EmbeddingItem(text, EmbeddingParameters()) for text in texts.read_text().split("\n")]
    together = pipeline(items[:60])
    for item, answer in zip(items, together, strict=False):
        [alone] = pipeline([item])
        np.testing.assert_array_equal(alone, answer)


def test_what_moves_an_embedding_too_far_goes_back_to_float(texts: Path, tmp_path: Path):
    folder = tiny_embedder(tmp_path / "it")
    hostile_to_int8(folder, layer=1)
    version, [_, int8] = exported(folder, texts, tmp_path)
    artifact = version.artifact("onnx", "int8")
    assert artifact is not None
    assert artifact.float_parts
    assert artifact.verified
    [tried] = int8.tried
    assert tried.startswith("All in int8: The least cosine")
    assert artifact.scores["least_cosine"] >= SAFE_COSINE


def test_an_embedder_that_half_in_float_does_not_save_is_refused(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("train.unlabelled.SAFE_COSINE", 1.1)
    monkeypatch.setattr("train.unlabelled.MIN_COSINE", 1.1)
    folder = tiny_embedder(tmp_path / "it")
    for layer in (0, 1):
        hostile_to_int8(folder, layer)
    version, [_, int8] = exported(folder, texts, tmp_path)
    artifact = version.artifact("onnx", "int8")
    assert artifact is not None
    assert not artifact.verified
    [reason] = int8.reasons
    assert reason.startswith("The least cosine of an embedding with its fp32 one is 0.")
    assert len(artifact.float_parts) == 3


def test_a_masked_model_is_calibrated_and_stays_unverified(texts: Path, tmp_path: Path):
    folder = tiny_checkpoint(tmp_path / "it", "distilbert", Task.FILL_MASK)
    version, measured = exported(folder, texts, tmp_path)
    assert measured == []
    artifact = version.artifact("onnx", "int8")
    assert artifact is not None
    assert not artifact.verified
    items = [FillMaskItem(f"the {word} [MASK]", FillMaskParameters()) for word in CORPUS.split()]
    pipeline = load_pipeline(version, INT8)
    together = pipeline(items[:40])
    for item, answer in zip(items, together, strict=False):
        assert pipeline([item]) == [answer]


def test_labels_are_not_read_where_there_are_none(tmp_path: Path):
    (tmp_path / "data.csv").write_text("text,label\na,b\n")
    with pytest.raises(CheckpointError, match=r"\.txt file"):
        exported(tiny_embedder(tmp_path / "it"), tmp_path / "data.csv", tmp_path)


@pytest.mark.parametrize("task", [Task.FEATURE_EXTRACTION, Task.FILL_MASK])
def test_what_is_not_trained_is_neither_scored_nor_a_recipes_task(task: Task, tmp_path: Path):
    manifest = Manifest(task=task, architecture="BertModel", labels=[], max_tokens=8)
    with pytest.raises(CheckpointError, match="nothing to score it by"):
        recipe_for("it", manifest, tmp_path / "data.csv", {})
    raw = {"model": {"name": "it", "task": task.value}, "data": {"train": "data.csv"}}
    with pytest.raises(ValueError, match="served and not trained here"):
        Recipe.model_validate(raw)
