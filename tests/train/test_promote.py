"""Production moves to a version that is not worse, or by force that is on record."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from contracts.errors import CheckpointError
from model_store.hashing import verify_hashes
from model_store.manifest import Promotion
from model_store.store import Store
from model_store.version import ModelVersion
from tests.train.damage import changed_copy, turn_round
from tests.train.runs import run, write_classification, write_recipe
from train.labelled import read_held_out
from train.promote import Decision, promote, score_of
from train.recipe_file import load_recipe
from train.run import train

NO_ONNX = ("artifacts.onnx_fp32=false", "artifacts.onnx_int8=false")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, recipe and a store where a good tiny@1 is in production."""
    folder = tmp_path_factory.mktemp("home")
    recipe = write_recipe(folder, "classification", write_classification(folder), epochs=15)
    run(recipe, folder / "store", *NO_ONNX)
    return folder


def decide(home: Path, version: ModelVersion, *, force: bool = False, why: str = "") -> Decision:
    """Compare on the file that tiny@1 learnt from: it is the winner there."""
    job, examples = read_held_out(version.name, version.manifest, home / "train.csv", {})
    score = score_of(version, job, examples)
    store = Store(home / "store")
    return promote(store, version, job, examples, score=score, force=force, why=why)


def test_a_first_version_has_nothing_to_beat(home: Path) -> None:
    (record,) = Store(home / "store").resolve("tiny@1").manifest.promotions
    assert (record.alias, record.replaced, record.forced) == ("production", None, False)
    assert record.metric == "accuracy"
    assert record.score == 1


def test_a_worse_version_stays_out_unless_it_is_forced_and_then_it_is_on_record(
    home: Path,
) -> None:
    store = Store(home / "store")
    good = store.resolve("tiny@production")
    worse = changed_copy(store, good, turn_round)
    assert worse.manifest.promotions == []

    decision = decide(home, worse)
    assert not decision.moved
    assert f"accuracy is 0.0000, and {good.id}, which it would replace, has 1.0000" in (
        decision.sentence
    )
    assert "--force" in decision.sentence
    assert store.aliases("tiny")["production"] == good.version
    assert store.resolve(worse.id).manifest.promotions == []

    decision = decide(home, worse, force=True, why="The labels were renamed.")
    assert decision.moved
    moved = store.resolve("tiny@production")
    assert moved.version == worse.version
    verify_hashes(moved)
    (record,) = moved.manifest.promotions
    assert record.forced
    assert record.why == "The labels were renamed."
    assert record.by
    assert record.replaced == good.version
    assert (record.score, record.replaced_score) == (0.0, 1.0)
    assert "has 1.0000" in record.reasons[0]
    assert moved.manifest.model_copy(update={"promotions": []}) == worse.manifest

    # Back to the better one, without force.
    assert decide(home, store.resolve(good.id)).moved
    assert store.aliases("tiny")["production"] == good.version


def test_an_equal_version_is_promoted(home: Path) -> None:
    store = Store(home / "store")
    good = store.resolve("tiny@production")
    same = changed_copy(store, good)
    decision = decide(home, same)
    assert decision.moved
    assert not decision.promotion.forced
    assert store.resolve("tiny").version == same.version
    assert f"tiny@{good.version} has 1.0000" in decision.sentence
    assert decide(home, store.resolve(good.id)).moved


def test_production_that_cannot_be_read_is_not_replaced_silently(
    home: Path, tmp_path: Path
) -> None:
    store = Store(home / "store")
    good = store.resolve("tiny@production")
    same = changed_copy(store, good)
    weights = good.folder / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        decision = decide(home, same)
    finally:
        weights.write_bytes(content)
    assert not decision.moved
    assert f"{good.id} cannot be compared" in decision.sentence


def test_an_alias_that_moved_meanwhile_is_left_alone(home: Path) -> None:
    store = Store(home / "store")
    before = store.aliases("tiny")
    record = Promotion(alias="production", by="me", replaced=99, metric="accuracy", examples=1)
    with pytest.raises(CheckpointError, match="was moved to"):
        store.promote("tiny", 1, record)
    assert store.aliases("tiny") == before
    assert record not in store.resolve("tiny@1").manifest.promotions


def test_training_publishes_a_worse_version_but_does_not_promote_it(
    home: Path, tmp_path: Path
) -> None:
    store = Store(home / "store")
    good = store.resolve("tiny@production")
    said = io.StringIO()
    recipe = load_recipe(home / "recipe.toml", (*NO_ONNX, "optim.lr=1e-12", "optim.epochs=1"))
    console = Console(file=said, width=1000)
    version = train(recipe, store, command="tuneserve train", console=console)
    assert version.aliases == ()
    assert store.aliases("tiny")["production"] == good.version
    assert f"{version.id} is not production: accuracy is" in said.getvalue()
    assert f"tuneserve promote {version.id} --data FILE --force" in said.getvalue()
    assert json.loads((version.folder / "manifest.json").read_text())["promotions"] == []
