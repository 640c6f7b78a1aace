"""``tuneserve predict`` for models that nobody trains here: added as they are, and asked."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from contracts.tasks import Task
from tests.embedders import SIZE, tiny_embedder
from tests.models import tiny_checkpoint

TORCH = ("--backend", "torch", "--precision", "fp32", "--device", "cpu")


def run(store: Path, *arguments: object) -> str:
    done = CliRunner().invoke(app, [*map(str, arguments), "--store", str(store)])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("predict")
    embedder = tiny_embedder(root / "embedder")
    masked = tiny_checkpoint(root / "masked", "bert", Task.FILL_MASK)
    inference = ("contradiction", "neutral", "entailment")
    nli = tiny_checkpoint(root / "nli", "bert", Task.TEXT_CLASSIFICATION, inference)
    for name, folder in (("embed", embedder), ("fill", masked), ("nli", nli)):
        assert f"Added {name}@1" in run(root / "store", "models", "add", folder, "--name", name)
    return root / "store"


def test_an_embedder_gives_vectors_and_compares(store: Path):
    texts = ("--text", "my parcel", "--text", "the fox")
    short = ("--json", '{"dimensions": 4}')
    vectors = json.loads(run(store, "predict", "embed", *texts, *TORCH))
    assert [len(vector) for vector in vectors] == [SIZE, SIZE]
    vectors = json.loads(run(store, "predict", "embed", *texts, *short, *TORCH))
    assert [len(vector) for vector in vectors] == [4, 4]
    compare = ("--text", "my parcel", "--compare", "my parcel", "--compare", "the fox")
    first, second = json.loads(run(store, "predict", "embed", *compare, *TORCH))
    assert first == pytest.approx(1, abs=1e-5)
    assert second < 1


def test_masks_are_filled_and_labels_of_the_callers_own_are_scored(store: Path):
    answer = json.loads(run(store, "predict", "fill", "--text", "the [MASK] fox", *TORCH))
    assert len(answer) == 5
    labels = ("--json", '{"candidate_labels": ["animals", "money"]}')
    answer = json.loads(run(store, "predict", "nli", "--text", "the fox", *labels, *TORCH))
    assert {one["label"] for one in answer} == {"animals", "money"}
