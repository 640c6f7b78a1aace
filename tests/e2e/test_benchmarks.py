"""The benchmarks run from end to end, on a tiny model: what they find there means nothing."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.compare import git

pytestmark = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("benchmarks")


def measured(home: Path, base: Path, name: str, *arguments: str) -> dict[str, Any]:
    """Run one of them, and read its result; it must find that no request failed."""
    model = ("--home", str(home), "--base", str(base))
    # Named, so that no time goes by for finding out which is fastest.
    served = ("--serve=--backend=onnxruntime", "--serve=--precision=fp32")
    return result(home, name, *model, *served, *arguments)


def result(home: Path, name: str, *arguments: str) -> dict[str, Any]:
    """Run one of them as it is asked to, and read its result."""
    out = home / f"{name}.json"
    command = [sys.executable, "-m", f"benchmarks.{name}", "--out", str(out), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n|---|" in done.stdout
    return json.loads(out.read_text())


def test_a_quick_bench_measures_every_server_and_an_engine(
    home: Path, checkpoints: dict[str, Path]
) -> None:
    found = measured(
        home, checkpoints["intent"], "bench", "--quick", "--clients=1,8", "--sets=short"
    )
    assert set(found["servers"]) == {"tuneserve", "fastapi", "litserve"}
    for sets in found["servers"].values():
        for loads in sets.values():
            assert set(loads) == {"1", "8"}
            assert all(cell["requests"] > 0 and cell["cpu_ms"] for cell in loads.values())
    assert found["engines"]["onnxruntime-int8"]["short"]["per_second"] > 0
    assert found["machine"]["cpu"]
    assert found["served"]


def test_http_alone_tells_the_processor_time_of_each_part(
    home: Path, checkpoints: dict[str, Path]
) -> None:
    options = ("--clients=8", "--rounds=1", "--seconds=1")
    found = measured(home, checkpoints["intent"], "http_alone", *options)
    assert found["loads"]["8"]["cpu_ms"].keys() >= {"http", "engine"}


def test_overload_sees_the_accepted_the_refused_and_the_wait_that_is_asked_for(
    home: Path, checkpoints: dict[str, Path]
) -> None:
    options = (
        "--clients=60",
        "--rounds=1",
        "--seconds=4",
        "--sets=short",
        "--serve=--max-waiting=8",
    )
    found = measured(home, checkpoints["intent"], "overload", *options)["sets"]["short"]
    assert found["accepted"] > 0
    assert found["refused"] > 0
    assert found["retry_after_s"] >= 1
    assert found["other"] == 0
    assert found["refusal_ms"] is not None


def test_texts_of_each_length_are_compared_with_the_engine_that_serves_them(
    home: Path, checkpoints: dict[str, Path]
) -> None:
    options = ("--lengths=8,300", "--rounds=1", "--seconds=1")  # the model takes 128
    found = measured(home, checkpoints["intent"], "text_lengths", *options)
    assert found["engine"] == "onnxruntime-fp32"
    for one in found["lengths"].values():
        assert one["served"]["texts_per_second"] > 0
        assert one["engine"] > 0


def test_documents_of_both_tasks_are_compared_with_an_engine(
    home: Path, checkpoints: dict[str, Path]
) -> None:
    folders = home / "tasks"
    folders.mkdir()
    for task, name in (("token-classification", "entities"), ("question-answering", "qa")):
        (folders / task).symlink_to(checkpoints[name])
    options = ("--engines=onnxruntime-fp32", "--rounds=1", "--seconds=1")
    for one in measured(home, folders, "documents", *options)["tasks"].values():
        assert one["served"]["documents_per_second"] > 0
        assert one["engines"]["onnxruntime-fp32"] > 0


def test_start_soak_request_path_and_many_models_tell_their_figures(
    home: Path, checkpoints: dict[str, Path]
) -> None:
    model = ("--home", str(home), "--base", str(checkpoints["intent"]))
    short = ("--engines=onnxruntime-fp32", "--rounds=1", "--seconds=1")
    started = result(home, "start", *model, *short)["engines"]["onnxruntime-fp32"]
    assert 0 < started["ready_s"] < 120
    assert started["pss_ready"].keys() >= {"parent", "http", "engine"}
    soak = result(
        home, "soak", *model, "--minutes=0.04", "--looks=1", "--serve=--backend=onnxruntime"
    )
    assert [one["when"] for one in soak["looks"]] == ["ready", "loaded", "loaded"]
    assert soak["growth"] > 0
    parts = result(home, "request_path", *model, "--rounds=1")["groups"]["32"]
    assert all(microseconds > 0 for microseconds in parts.values())
    found = result(home, "many_models", "--counts=3", "--seconds=1")["counts"]["3"]
    assert found["requests"] > 0
    assert found["pss_mib"] > 0


def test_compare_runs_a_commit_beside_the_working_tree(
    home: Path, checkpoints: dict[str, Path]
) -> None:
    if git("rev-parse", "HEAD").returncode:
        pytest.skip("not a git checkout")
    out = home / "compare.json"
    command = [sys.executable, "-m", "benchmarks.compare", "HEAD", "--home", str(home)]
    command += ["--model-base", str(checkpoints["intent"]), "--out", str(out)]
    command += ["--starts=1", "--pairs=2", "--seconds=1", "--clients=4", "--sets=short"]
    command += ["--serve=--backend=onnxruntime", "--serve=--precision=fp32"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.read_text())
    assert found["served"] == ["onnxruntime fp32"] * 2
    assert len(found["loads"]["short, 4"]["requests/s"]["ratios"]) == 2
