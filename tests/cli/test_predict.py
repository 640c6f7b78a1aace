"""``tuneserve predict`` for models that nobody trains here: added as they are, and asked."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.tables import Source, open_sink
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


def predictions(path: Path) -> list[dict[str, Any]]:
    return list(Source(path).rows())


@pytest.mark.parametrize("before", ["csv", "ndjson", "parquet"])
@pytest.mark.parametrize("after", ["csv", "ndjson", "parquet"])
def test_a_file_is_answered_row_by_row(store: Path, tmp_path: Path, before: str, after: str):
    texts = ["Where is my parcel?", "", "Thank you!", "the fox " * 200]
    rows = [{"id": str(number), "words": text} for number, text in enumerate(texts)]
    source, out = tmp_path / f"in.{before}", tmp_path / f"out.{after}"
    (tmp_path / "any.csv").touch()
    with open_sink(source, [], Source(tmp_path / "any.csv")) as sink:
        sink.write(rows)
    files = ("--file", source, "--out", out, "--column", "words")
    run(store, "predict", "nli", *files, "--json", '{"top_k": 1}', *TORCH)
    got = predictions(out)
    assert [(one["id"], one["words"]) for one in got] == [(one["id"], one["words"]) for one in rows]
    errors = [one["prediction_error"] or "" for one in got]
    assert [bool(one) for one in errors] == [False, True, False, True]
    assert "empty" in errors[1]
    assert "tokens" in errors[3]
    for one in (got[0], got[2]):
        alone = json.loads(
            run(store, "predict", "nli", "--text", one["words"], "--json", '{"top_k": 1}', *TORCH)
        )
        told = one["prediction"] if after == "ndjson" else json.loads(one["prediction"])
        assert told[0][0]["label"] == alone[0][0]["label"] == one["predicted_label"]
        assert float(one["predicted_score"]) == pytest.approx(alone[0][0]["score"], abs=1e-5)
    assert not got[1]["prediction"]
    assert not got[1]["predicted_label"]


def test_a_file_without_the_column_is_told(store: Path, tmp_path: Path):
    source = tmp_path / "in.csv"
    source.write_text("words\nhello\n")
    asked = ("predict", "nli", "--file", source, "--out", tmp_path / "out.csv", "--store", store)
    done = CliRunner().invoke(app, [*map(str, asked), *TORCH])
    assert done.exit_code == 2
    assert "has no column text; it has words" in done.output
    assert not (tmp_path / "out.csv").exists()
    source.write_text("text,prediction\nhello,x\n")
    done = CliRunner().invoke(app, [*map(str, asked), *TORCH])
    assert "has a column prediction already" in done.output


def test_embeddings_of_a_file_are_lists(store: Path, tmp_path: Path):
    source = tmp_path / "in.ndjson"
    source.write_text('{"text": "my parcel"}\n' * 3)
    run(store, "predict", "embed", "--file", source, "--out", tmp_path / "out.parquet", *TORCH)
    got = predictions(tmp_path / "out.parquet")
    assert len(got) == 3
    assert len(json.loads(got[0]["prediction"])[0]) == SIZE


def test_a_large_file_takes_no_more_memory_than_a_small_one(store: Path, tmp_path: Path):
    def peak_mb(rows: int) -> float:
        source = tmp_path / f"{rows}.csv"
        source.write_text("text\n" + "where is my parcel now\n" * rows)
        script = (
            "import resource, sys; from cli.main import app\n"
            "app(sys.argv[1:], standalone_mode=False)\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
        )
        files = ("--file", source, "--out", tmp_path / "out.parquet", "--store", store)
        command = [sys.executable, "-c", script, "predict", "nli", *files, *TORCH]
        return float(subprocess.check_output(command, timeout=120).decode().split()[-1])

    small, large = peak_mb(2_000), peak_mb(30_000)
    assert large - small < 25
    assert len(predictions(tmp_path / "out.parquet")) == 30_000
