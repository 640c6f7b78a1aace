"""``--dry-run``: what it foretells is what a run then does."""

import json
from pathlib import Path

import pytest
from transformers import BertConfig

from tests.train.runs import WRITERS, run, write_recipe
from train.plan import BYTES_PER_WEIGHT, activation_bytes, plan
from train.recipe_file import load_recipe


@pytest.mark.parametrize("task", ["classification", "qa"])
def test_a_plan_foretells_rows_steps_and_weights(task: str, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, task, WRITERS[task](tmp_path), epochs=1)
    plain = ("artifacts.onnx_fp32=false", "artifacts.onnx_int8=false")
    told = plan(load_recipe(recipe, plain))
    version = run(recipe, tmp_path / "store", *plain)
    report = json.loads((version.folder / "report.json").read_text())
    assert told["steps"] == report["training"]["steps"]
    for key in ("rows", "labels", "tokens_per_text", "texts_longer_than_a_row", "notes"):
        assert told[key] == report["data"][key]
    assert told["recipe"] == report["recipe"]
    # Weights are float32 in the file; the header is small.
    weights = told["memory_bytes"]["weights"] / BYTES_PER_WEIGHT * 4
    file_bytes = (version.folder / "model.safetensors").stat().st_size
    assert 0 < file_bytes - weights < 0.3 * file_bytes


def test_activations_follow_the_largest_batch() -> None:
    config = BertConfig(num_hidden_layers=2, hidden_size=8, num_attention_heads=2)
    assert activation_bytes(config, [(1, 4), (3, 16)]) == 2 * 3 * (66 * 16 * 8 + 9 * 2 * 16 * 16)
    assert activation_bytes(config, []) == 0


def test_long_texts_and_duplicates_are_counted(tmp_path: Path) -> None:
    long = "refund " * 40
    rows = [f"{long if index < 5 else f'parcel {index}'},{'ab'[index % 2]}" for index in range(20)]
    (tmp_path / "train.csv").write_text("\n".join(["text,label", *rows]))
    (tmp_path / "dev.csv").write_text("text,label\nparcel 7,b\nnew,a\n")
    more = 'dev = "dev.csv"\n[artifacts]\nonnx_int8 = false'
    recipe = write_recipe(tmp_path, "classification", "train.csv", more)
    told = plan(load_recipe(recipe, ["model.max_tokens=16"]))
    assert told["texts_longer_than_a_row"] == 5 / 20
    assert told["long_texts"] == "cut"
    assert told["notes"] == {"twice in train": 4, "dev also in train": 1}
