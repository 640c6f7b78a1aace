"""What happens to a run when a form of the checkpoint cannot be made or loaded."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from contracts.errors import CheckpointError
from model_store import export
from model_store.manifest import Artifact
from model_store.store import Store
from model_store.version import ModelVersion
from tests.train.damage import truncate
from tests.train.runs import write_classification, write_recipe
from train import candidates
from train.artifacts import ONNX_FP32, ONNX_INT8, TORCH, compress_int8, export_fp32
from train.recipe_file import load_recipe
from train.run import train


def run(folder: Path, *overrides: str) -> tuple[ModelVersion, str]:
    """A version, and what the console was told."""
    recipe = write_recipe(folder, "classification", write_classification(folder), epochs=1)
    console = Console(file=io.StringIO(), width=1000)
    settings = load_recipe(recipe, ("gates.max_label_flips=100", *overrides))
    version = train(settings, Store(folder / "store"), command="x", console=console)
    return version, console.file.getvalue()


def told(version: ModelVersion) -> dict[str, str]:
    """Reasons by artifact, after a look at all three forms of the report."""
    found = json.loads((version.folder / "report.json").read_text())["artifacts"]
    refused = [one for one in found if not one["verified"]]
    for one in refused:
        assert one["dev"] == {}
        assert one["agreement"] is one["items_per_s"] is None
        (reason,) = one["reasons"]
        assert str(version.folder.parent.parent) not in reason
        for page in ("report.md", "report.html"):
            assert reason[:40] in (version.folder / page).read_text()
    return {f"{one['format']} {one['precision']}": one["reasons"][0] for one in refused}


def broken_file(onnx_fp32: Path, folder: Path, *rest: Any) -> Artifact:
    made = compress_int8(onnx_fp32, folder, *rest)
    truncate(folder / made.path)
    return made


def refused_graph(*_: Any) -> Artifact:
    raise CheckpointError("the graph cannot be quantised.")


@pytest.mark.parametrize(
    ("compress", "reason"),
    [(broken_file, "cannot be loaded by ONNX Runtime"), (refused_graph, "cannot be quantised")],
)
def test_int8_that_cannot_be_made_or_loaded_is_left_out_with_its_reason(
    compress: Callable[..., Artifact], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "compress_int8", compress)
    version, console = run(tmp_path)
    kinds = [(one.format, one.precision) for one in version.manifest.artifacts]
    assert kinds == [("torch", "fp32"), ("onnx", "fp32")]
    assert not (version.folder / ONNX_INT8.path).exists()
    reasons = told(version)
    assert reasons.keys() == {"onnx int8"}
    assert reason in reasons["onnx int8"]
    assert f"tiny: onnx int8 is left out: {reasons['onnx int8']}" in console


@pytest.mark.parametrize("wish", ["true", "false"])
def test_without_an_export_torch_is_published_alone_and_says_why(
    wish: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "TOLERANCE", -1.0)  # no file is as close as that
    version, console = run(tmp_path, f"artifacts.onnx_fp32={wish}")
    assert [one.path for one in version.manifest.artifacts] == [TORCH.path]
    assert not list(version.folder.glob("onnx/*"))
    reasons = told(version)
    assert reasons.keys() == {"onnx int8"} | ({"onnx fp32"} if wish == "true" else set())
    assert reasons["onnx int8"].startswith("It is made from onnx fp32, which failed: ")
    for name, reason in reasons.items():
        assert "the exported ONNX file differs from torch" in reason
        assert f"tiny: {name} is left out: {reason}" in console


def test_a_reference_that_cannot_be_loaded_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaging(folder: Path, *rest: Any) -> Artifact:
        export_fp32(folder, *rest)
        (folder / TORCH.path).unlink()
        return ONNX_FP32

    monkeypatch.setattr(candidates, "export_fp32", damaging)
    with pytest.raises(CheckpointError, match="cannot be loaded by transformers"):
        run(tmp_path, "artifacts.onnx_int8=false")
    assert Store(tmp_path / "store").names() == []
