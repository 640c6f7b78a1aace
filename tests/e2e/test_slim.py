"""The plain install: ONNX files are served where torch and all of its kind cannot be imported."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.checkpoint import published
from contracts.extras import EXTRAS
from tests.deploy.dockerfile import ROOT
from tests.running import RunningServer, running
from tests.seq2seq_models import publish_with_int8, tiny_seq2seq

# Every child of the server is an interpreter of its own, which runs this as well.
WITHOUT = f"""\
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        missing = name.partition(".")[0] in {set(EXTRAS)}
        return None if missing else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
"""


@pytest.fixture(scope="module")
def plain_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """PYTHONPATH of an interpreter that finds none of ``EXTRAS``."""
    folder = tmp_path_factory.mktemp("without")
    (folder / "sitecustomize.py").write_text(WITHOUT)
    return f"{folder}{os.pathsep}{ROOT}"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, checkpoints: dict[str, Path]) -> Path:
    """A classifier and a model that generates, each with graphs in fp32 and int8."""
    root = tmp_path_factory.mktemp("slim")
    version = published(root / "store", base=checkpoints["intent"])
    assert version.artifact("onnx", "int8")
    plain = tiny_seq2seq(root / "plain", "bart")
    publish_with_int8(plain, root / "store", "write")
    shutil.rmtree(root / "store" / ".cache", ignore_errors=True)
    return root / "store"


@pytest.fixture(scope="module")
def server(
    store: Path,
    plain_path: str,
    checkpoints: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("log") / "server.log"
    weights_only = f"--model=weights={checkpoints['intent']}"
    with running(log, f"--store={store}", weights_only, PYTHONPATH=plain_path) as one:
        one.wait_ready()
        yield one


def test_a_classifier_answers(server: RunningServer) -> None:
    answer = server.ask("text-classification", ["where is my parcel", "refund"])
    assert answer.status_code == 200, answer.text
    assert len(answer.json()) == 2


def test_a_model_that_generates_answers(server: RunningServer) -> None:
    answer = server.ask("write", "the cat sat on the mat", max_new_tokens=5)
    assert answer.status_code == 200, answer.text


def test_a_checkpoint_without_graphs_is_refused_with_what_to_install(
    server: RunningServer,
) -> None:
    answer = server.ask("weights", "refund")
    assert answer.status_code != 200
    assert "pip install 'tuneserve[torch]'" in server.log.read_text()


def test_commands_say_what_to_install(
    plain_path: str, store: Path, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    export = ("export", checkpoints["intent"], "--output", tmp_path / "out")
    train = ("train", ROOT / "examples" / "intent" / "recipe.toml", "--store", tmp_path / "store")
    for command in (export, train):
        done = subprocess.run(
            [Path(sys.executable).with_name("tuneserve"), *map(str, command)],
            env={**os.environ, "PYTHONPATH": plain_path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2, done.stderr
        assert "pip install 'tuneserve[" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_text_is_answered_by_the_command(plain_path: str, store: Path) -> None:
    done = subprocess.run(
        [
            Path(sys.executable).with_name("tuneserve"),
            *("predict", "text-classification", "--text=refund", f"--store={store}"),
        ],
        env={**os.environ, "PYTHONPATH": plain_path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
