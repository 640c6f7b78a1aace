"""A layer that int8 ruins stays in float, if that is what the gate needs."""

import html
import io
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from contracts.tasks import Task
from model_store.files import read_json
from model_store.mixed import MixedGraph
from model_store.store import Store
from model_store.version import ModelVersion
from tests.models import CORPUS, LABELS, tiny_checkpoint
from tests.train.damage import hostile_to_int8, quantize_dynamic, truncate
from tests.train.runs import write_recipe
from train import candidates
from train.artifacts import ONNX_FP32, ONNX_INT8, compress_int8
from train.export import add_artifact
from train.recipe_file import load_recipe
from train.run import train

PLAIN = ("artifacts.onnx_fp32=false", "artifacts.onnx_int8=false")


def run(folder: Path, hostile: tuple[int, ...], *overrides: str) -> tuple[ModelVersion, str]:
    """A version with random weights, since learning would make up for what int8 loses.

    With the first layer hostile one label of four differs in int8; with it in float, none did.
    """
    draw = random.Random(3)
    words, labels = CORPUS.replace(",", "").split(), LABELS[Task.TEXT_CLASSIFICATION]
    texts = [" ".join(draw.choices(words, k=draw.randint(3, 12))) for _ in range(160)]
    rows = [f'"{text}",{labels[index % 4]}' for index, text in enumerate(texts)]
    (folder / "train.csv").write_text("\n".join(["text,label", *rows]))
    path = write_recipe(folder, "classification", "train.csv", lr=1e-12, epochs=1)
    shutil.rmtree(folder / "base")
    base = tiny_checkpoint(folder / "base", "bert", Task.TEXT_CLASSIFICATION)
    for layer in hostile:
        hostile_to_int8(base, layer)
    limits = ("gates.max_label_flips=15", "gates.max_score_loss=100", "data.dev_share=0.6")
    recipe = load_recipe(path, (*limits, *overrides))
    console = Console(file=io.StringIO(), width=1000)
    version = train(recipe, Store(folder / "store"), command="x", console=console)
    return version, console.file.getvalue()


def told(version: ModelVersion) -> dict[str, Any]:
    """What the report says of int8."""
    found: dict[str, Any] = read_json(version.folder / "report.json")["artifacts"][-1]
    assert found["precision"] == "int8"
    for page in ("report.md", "report.html"):
        text = html.unescape((version.folder / page).read_text())
        assert all(sentence in text for sentence in found["tried"])
    return found


@pytest.mark.parametrize("wish", ["true", pytest.param("false", marks=pytest.mark.e2e)])
def test_the_layer_that_int8_ruins_is_published_in_float(wish: str, tmp_path: Path) -> None:
    version, console = run(tmp_path, (0,), f"artifacts.onnx_fp32={wish}")
    int8 = version.artifact("onnx", "int8")
    assert int8 is not None
    assert int8.verified
    assert int8.float_parts == ["encoder.0"]
    found = told(version)
    assert found["float_parts"] == ["encoder.0"]
    assert (found["company"]["changed"], found["company"]["difference"]) == (0, 0)
    (tried,) = found["tried"]
    assert tried.startswith("All in int8: ")
    assert "of labels differ from fp32" in tried
    assert (
        "yes, with encoder.0 in float; tried: All in int8"
        in (version.folder / "report.md").read_text()
    )
    assert "✓ inside, with encoder.0 in float" in (version.folder / "report.html").read_text()
    assert f"tiny: onnx int8 was tried: {tried}" in console
    assert "tiny: onnx int8 keeps encoder.0 in float" in console
    files = {path.name for path in (version.folder / "onnx").iterdir()}
    assert files == {"model_int8.onnx"} | ({"model.onnx"} if wish == "true" else set())
    if wish == "true":
        fp32, file = (version.folder / one.path for one in (ONNX_FP32, ONNX_INT8))
        assert MixedGraph(fp32, file).parts == ["encoder.1"]


def test_where_no_attempt_is_enough_int8_is_left_out_with_all_that_was_tried(
    tmp_path: Path,
) -> None:
    version, console = run(tmp_path, (0, 1), "gates.max_label_flips=3")
    assert version.artifact("onnx", "int8") is None
    assert [path.name for path in (version.folder / "onnx").iterdir()] == ["model.onnx"]
    found = told(version)
    assert found["float_parts"] == []
    (reason,), (tried,) = found["reasons"], found["tried"]
    assert "of labels differ from fp32" in reason
    assert tried.startswith(("With encoder.0 in float: ", "With encoder.1 in float: "))
    assert "of labels differ from fp32" in tried
    assert f"tiny: onnx int8 was tried: {tried}" in console
    assert f"tiny: onnx int8 is left out: {reason}" in console


@pytest.mark.filterwarnings("ignore")  # the dynamic quantiser's own
def test_nothing_is_tried_where_float_layers_would_not_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dynamic(onnx_fp32: Path, folder: Path, *_: Any) -> Any:
        quantize_dynamic(onnx_fp32, folder / ONNX_INT8.path)
        return ONNX_INT8

    monkeypatch.setattr(candidates, "compress_int8", dynamic)
    version, _ = run(tmp_path, (0,), "gates.max_label_flips=0")
    found = told(version)
    assert "It is dynamic int8" in found["reasons"][0]
    assert len(found["reasons"]) > 1
    assert found["tried"] == []


def test_a_graph_that_cannot_be_mixed_leaves_int8_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_source(onnx_fp32: Path, *rest: Any) -> Any:
        made = compress_int8(onnx_fp32, *rest)
        truncate(onnx_fp32)
        return made

    monkeypatch.setattr(candidates, "compress_int8", without_source)
    version, _ = run(tmp_path, (0,))
    assert [one.path for one in version.manifest.artifacts] == ["model.safetensors"]
    (tried,) = told(version)["tried"]
    assert tried.startswith("No part can be kept in float: onnx/model.onnx cannot be read")


@pytest.mark.e2e  # one way more to what the others show
def test_a_later_export_keeps_layers_in_float_too(tmp_path: Path) -> None:
    version, _ = run(tmp_path, (0,), *PLAIN)
    folder = tmp_path / "more"
    folder.mkdir()
    manifest, (_, int8) = add_artifact(version, folder, "int8", tmp_path / "train.csv", {})
    assert int8.tried[0].startswith("All in int8: ")
    assert int8.agreement > 0.9
    assert manifest.artifacts[-1].float_parts == ["encoder.0"]
    assert json.loads(manifest.model_dump_json())["artifacts"][-1]["float_parts"] == ["encoder.0"]
    assert [path.name for path in (folder / "onnx").iterdir()] == ["model_int8.onnx"]
