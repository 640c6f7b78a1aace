"""``tuneserve train``, ``predict`` and ``export`` as a person uses them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from contracts.tasks import Task
from model_store.store import Store
from tests.models import tiny_checkpoint
from tests.train.runs import write_classification, write_recipe


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SERVE_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("TUNESERVE_DEBUG", raising=False)
    return tmp_path / "store"


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in args])


def test_two_jobs_train_at_once_and_a_failure_keeps_the_other_version(
    store: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path, "classification", write_classification(tmp_path))
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "train.csv").write_text('text,label\n"only one",money\n')
    bad = broken / "recipe.toml"
    bad.write_text(recipe.read_text().replace('base = "base"', f'base = "{tmp_path / "base"}"'))
    plain = ("--set", "artifacts.onnx_fp32=false", "--set", "artifacts.onnx_int8=false")
    done = run("train", recipe, bad, *plain, "--quiet", "--jobs", 2)
    assert done.exit_code == 2
    assert "two are needed" in done.output
    assert Store(store).aliases("tiny") == {"production": 1}


def test_from_recipes_to_answers_and_to_another_artifact(store: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, "classification", write_classification(tmp_path), epochs=15)
    plain = ("--set", "artifacts.onnx_fp32=false", "--set", "artifacts.onnx_int8=false")
    done = run("train", recipe, recipe, *plain, "--quiet")
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["tiny@1", "tiny@2"]

    done = run(
        "predict",
        "tiny",
        "--text",
        "please, my refund number 99",
        "--text",
        "please, my parcel number 98",
        "--backend",
        "torch",
    )
    assert done.exit_code == 0, done.output
    assert [one[0]["label"] for one in json.loads(done.stdout)] == ["money", "delivery"]
    done = run(
        "predict", "tiny@1", "--text", "please, my refund number 99", "--json", '{"top_k": 1}'
    )
    assert [len(one) for one in json.loads(done.stdout)] == [1]

    done = run("export", "tiny", "--precision", "int8", "--calibrate", tmp_path / "train.csv")
    assert done.exit_code == 0, done.output
    assert "Published tiny@3 with onnx-int8" in done.stdout
    version = Store(store).resolve("tiny@3")
    artifact = version.artifact("onnx", "int8")
    assert artifact is not None
    assert artifact.scores["agreement"] > 0
    assert artifact.verified is ("not verified" not in done.stdout)
    assert Store(store).aliases("tiny") == {"production": 2}


def test_a_dry_run_says_what_would_be_done_and_does_nothing(store: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, "classification", write_classification(tmp_path))
    done = run("train", recipe, "--dry-run", "--set", "optim.epochs=5")
    assert done.exit_code == 0, done.output
    plan = json.loads(done.stdout)
    assert plan["recipe"]["optim"]["epochs"] == 5
    assert plan["examples"] == {"train": 43, "dev": 5, "test": 0}
    assert plan["labels"] == {"delivery": 21, "money": 22}
    assert plan["steps"] == 30
    assert not store.exists()


def test_errors_are_one_sentence(store: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, "classification", write_classification(tmp_path))
    folder = tiny_checkpoint(tmp_path / "plain", "bert", Task.QUESTION_ANSWERING)
    named = ("--model", f"it={folder}")
    for args, reason in (
        (("train", recipe, "--set", "optim.learning_rate=1"), 'did you mean "lr"?'),
        (("predict", "tiny", "--text", "a"), "There is no model 'tiny'"),
        (("predict", "it", *named, "--text", "a"), "needs --question and --context"),
        (("predict", "it", *named, "--question", "a", "--context", " "), "the text is empty"),
        (("predict", "it", *named, "--json", "{", "--text", "a"), "--json is not JSON"),
        (("predict", "other", *named), "--model must be other=FOLDER"),
        (("export", folder, "--output", folder), "is not empty"),
        (("export", folder, "--output", tmp_path / "o", "--precision", "int8"), "--calibrate DATA"),
        (("export", "tiny", "--set", "optim.lr=1"), "data.key=value"),
    ):
        done = run(*args)
        assert done.exit_code == 2, done.output
        assert reason in done.stderr
        assert "Traceback" not in done.stderr


def test_a_program_reads_progress_as_json_lines(store: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, "classification", write_classification(tmp_path), epochs=2)
    plain = ("--set", "artifacts.onnx_fp32=false", "--set", "artifacts.onnx_int8=false")
    done = run("train", recipe, *plain, "--json")
    assert done.exit_code == 0, done.output
    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [one["event"] for one in events]
    assert kinds[:2] == ["phase", "data"]
    assert kinds[-1] == "published"
    assert kinds.count("evaluation") == 2
    losses = [one for one in events if one["event"] == "loss"]
    assert [one["step"] for one in losses] == list(range(1, losses[0]["steps"] + 1))
    assert all(one["loss"] > 0 and one["lr"] >= 0 for one in losses)
    assert {one["model"] for one in events} == {"tiny"}
    assert events[-1]["version"] == 1
    assert events[-1]["aliases"] == ["production"]
    assert "accuracy" in events[-1]["scores"]
