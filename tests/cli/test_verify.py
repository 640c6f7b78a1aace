"""``tuneserve verify`` and ``promote`` as a person uses them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from model_store.store import Store
from tests.train.damage import (
    changed_copy,
    noise_weights,
    quantize_dynamic,
    truncate,
    turn_round,
)
from tests.train.runs import run as train
from tests.train.runs import write_classification, write_recipe
from train.artifacts import ONNX_FP32, ONNX_INT8


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in args])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and a store; tiny@1 with three artifacts is in production."""
    folder = tmp_path_factory.mktemp("trained")
    recipe = write_recipe(folder, "classification", write_classification(folder), epochs=15)
    train(recipe, folder / "store", "data.dev_share=0.4")
    return folder


@pytest.fixture
def store(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("SERVE_STORE", str(trained / "store"))
    monkeypatch.delenv("TUNESERVE_DEBUG", raising=False)
    return Store(trained / "store")


def test_verify_measures_every_artifact(store: Store, trained: Path) -> None:
    done = run("verify", "tiny", "--data", trained / "train.csv", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["model"], found["version"], found["passed"]) == ("tiny", 1, True)
    assert (found["examples"], found["score"], found["baseline"]) == (48, 1.0, 0.5)
    kinds = [(one["format"], one["precision"]) for one in found["artifacts"]]
    assert kinds == [("torch", "fp32"), ("onnx", "fp32"), ("onnx", "int8")]
    for one in found["artifacts"]:
        assert one["agreement"] == 1
        assert one["company"]["items"] == 48
        assert one["company"]["changed"] == 0
        assert 0 < one["p50_ms"] <= one["p99_ms"]
        assert one["load_s"] > 0
        assert one["items_per_s"] > 0
        assert one["calibration"]["error"] < 0.5
        assert one["memory_bytes"] is None or one["memory_bytes"] >= 0
    assert found["artifacts"][2]["company"]["difference"] == 0


def test_verify_prints_a_table_and_what_is_wrong(store: Store, trained: Path) -> None:
    limits = ("--set", "gates.min_gain=60")
    done = run("verify", "tiny@1", "--data", trained / "train.csv", *limits)
    assert done.exit_code == 1
    for part in ("onnx int8", "changed in a batch", "0 of 48", "inside", "outside"):
        assert part in done.stdout
    assert "torch fp32: accuracy is 1.000 on 48 held-out examples" in done.stdout


def shuffled_weights(folder: Path) -> None:
    noise_weights(folder / ONNX_INT8.path)


def cut(folder: Path) -> None:
    truncate(folder / ONNX_INT8.path)


def dynamic(folder: Path) -> None:
    quantize_dynamic(folder / ONNX_FP32.path, folder / ONNX_INT8.path)


@pytest.mark.filterwarnings("ignore")  # the dynamic quantiser's own
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (shuffled_weights, "onnx int8: accuracy falls by"),
        (dynamic, "onnx int8: It is dynamic int8"),
        (cut, "onnx int8: onnx/model_int8.onnx cannot be loaded by ONNX Runtime"),
        (turn_round, "which it would replace, has 1.0000"),
    ],
)
def test_a_version_outside_the_gate_is_not_promoted(
    damage: Callable[[Path], None], reason: str, store: Store, trained: Path
) -> None:
    bad = changed_copy(store, store.resolve("tiny@1"), damage)
    done = run("verify", bad.id, "--data", trained / "train.csv", "--json")
    assert done.exit_code == 1, done.output
    assert json.loads(done.stdout)["passed"] is False

    done = run("promote", bad.id, "--data", trained / "train.csv")
    assert done.exit_code == 1, done.output
    assert f"{bad.id} is not production" in done.stderr
    assert reason in done.stderr
    assert store.aliases("tiny") == {"production": 1}


def test_an_artifact_that_cannot_be_loaded_is_shown_as_refused(store: Store, trained: Path) -> None:
    unloadable = changed_copy(store, store.resolve("tiny@1"), cut)
    replaced = changed_copy(store, store.resolve("tiny@1"))
    cut(replaced.folder)
    for bad, reason in (
        (unloadable, "cannot be loaded by ONNX Runtime"),
        (replaced, "is not the file that was published"),
    ):
        done = run("verify", bad.id, "--data", trained / "train.csv", "--json")
        assert done.exit_code == 1, done.output
        found = json.loads(done.stdout)
        assert [one["verified"] for one in found["artifacts"]] == [True, True, False]
        assert found["artifacts"][2]["agreement"] is None
        assert reason in found["artifacts"][2]["reasons"][0]
        shown = run("verify", bad.id, "--data", trained / "train.csv")
        assert shown.exit_code == 1
        assert "outside" in shown.stdout
        assert f"onnx int8: {found['artifacts'][2]['reasons'][0]}" in " ".join(shown.stdout.split())


def test_a_version_whose_reference_is_damaged_cannot_be_verified(
    store: Store, trained: Path
) -> None:
    bad = changed_copy(store, store.resolve("tiny@1"))
    truncate(bad.folder / "model.safetensors")
    done = run("verify", bad.id, "--data", trained / "train.csv")
    assert done.exit_code == 2
    assert "is not the file that was published" in done.stderr


def test_promote_moves_production_and_force_is_on_record(store: Store, trained: Path) -> None:
    good, bad = (
        changed_copy(store, store.resolve("tiny@1")),
        changed_copy(store, store.resolve("tiny@1"), turn_round),
    )
    done = run("promote", good.id, "--data", trained / "train.csv")
    assert done.exit_code == 0, done.output
    assert f"{good.id} is production" in done.stdout
    assert store.aliases("tiny") == {"production": good.version}

    forced = ("--force", "--why", "a trial")
    done = run("promote", bad.id, "--data", trained / "train.csv", *forced)
    assert done.exit_code == 0, done.output
    assert "by force" in done.stdout
    shown = json.loads(run("models", "show", "tiny", "--json").stdout)
    assert shown["version"] == bad.version
    (record,) = shown["promotions"]
    assert (record["forced"], record["why"], record["replaced"]) == (True, "a trial", good.version)

    done = run("promote", "tiny@1", "--data", trained / "train.csv")
    assert done.exit_code == 0, done.output
    assert store.aliases("tiny") == {"production": 1}


def test_wrong_use_is_one_sentence(store: Store, trained: Path) -> None:
    (trained / "texts.txt").write_text("a text\n")
    (trained / "other.csv").write_text("text,label\nhello,nonsense\n")
    data = trained / "train.csv"
    for args, reason in (
        (("tiny", "--data", trained / "nowhere.csv"), "there is no file"),
        (("tiny", "--data", trained / "texts.txt"), "labelled data are needed"),
        (("tiny", "--data", trained / "other.csv"), 'unknown label "nonsense"'),
        (("tiny@77", "--data", data), "There is no tiny@77"),
        (("tiny", "--data", data, "--set", "gates.max_loss=1"), "gates.max_loss"),
        (("tiny", "--data", data, "--set", "data.labels=x"), "no key 'labels'"),
    ):
        for command in ("verify", "promote"):
            done = run(command, *args)
            assert done.exit_code == 2, done.output
            assert reason in done.stderr
            assert "Traceback" not in done.stderr
