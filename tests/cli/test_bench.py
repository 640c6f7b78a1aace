"""``tuneserve bench`` shows what ``--backend auto`` chooses by, without measuring twice."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from contracts.tasks import Task
from model_store import timings
from model_store.timings import REFUSED, Timing
from tests.models import tiny_checkpoint

FOUND = {
    "onnxruntime-fp32": Timing(0.002, 0.001, 512),
    "torch-fp32": Timing(0.02, 0.01, 1024),
    "openvino-fp32": REFUSED,
}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """How many threads each measurement had."""
    calls: list[int] = []

    def measure_all(_: object, some: list[object], threads: int) -> dict[str, Timing]:
        calls.append(threads)
        return FOUND

    monkeypatch.setenv(timings.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(timings, "measure_all", measure_all)
    return calls


def test_a_model_is_shown_with_what_is_chosen_and_measured_once(
    measured: list[int], tmp_path: Path
) -> None:
    folder = tiny_checkpoint(tmp_path / "intent", "bert", Task.TEXT_CLASSIFICATION)
    command = ["bench", str(folder), "--threads", "4", "--store", str(tmp_path / "store")]
    shown = CliRunner().invoke(app, command, env={"COLUMNS": "120"})
    assert shown.exit_code == 0, shown.output
    lines = {line.split()[1]: line for line in shown.output.splitlines() if "-fp32" in line}
    assert "chosen" in lines["onnxruntime-fp32"]
    assert "2.00" in lines["onnxruntime-fp32"]
    assert "512" in lines["onnxruntime-fp32"]
    assert "chosen" not in lines["torch-fp32"]
    assert "does not run" in lines["openvino-fp32"]
    assert measured == [2], "two batches run at once: each has two of the four threads"


def test_json_is_for_programs_and_again_measures_again(measured: list[int], tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "intent", "bert", Task.TEXT_CLASSIFICATION)
    command = ["bench", str(folder), "--json", "--store", str(tmp_path / "store")]
    for more in ([], ["--again"]):
        told = json.loads(CliRunner().invoke(app, [*command, *more]).stdout)
    assert [one["candidate"] for one in told["candidates"] if one["chosen"]] == ["onnxruntime-fp32"]
    refused = [one for one in told["candidates"] if one["candidate"] == "openvino-fp32"]
    assert refused[0]["lone_ms"] is None
    assert len(measured) >= 2
