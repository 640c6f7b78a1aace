"""A killed run goes on as if nothing had happened: the same weights at the end, bit by bit."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from safetensors.numpy import load_file

from contracts.errors import CheckpointError
from model_store.store import Store
from tests.train.engine import fit_tiny
from tests.train.runs import WRITERS, write_recipe
from train.callbacks import Callback, Run
from train.recipe_file import load_recipe
from train.run_folder import run_folder

STEERED = """
[[callbacks]]
name = "gradual_unfreezing"
[[callbacks]]
name = "decay_lr"
alpha = 0.2
per = "step"
[[callbacks]]
name = "bad_loss_guard"
[early_stopping]
patience = 3
"""


class Killed(BaseException):
    """What a test raises where a machine would lose its power."""


class KillAt(Callback):
    """Ends the process's run before a step is counted as done by anybody else."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, run: Run) -> None:
        if run.step == self.step:
            raise Killed

    def state_dict(self) -> dict[str, Any]:
        return {}


class Restless(Callback):
    """Changes all that can be changed, at odd moments, by what it drew and counted."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def on_step_end(self, run: Run) -> None:
        self.seen.append(run.step)
        if len(self.seen) % 4 == 2:
            run.dropout = random.choice([0.0, 0.1, 0.2, 0.3])
            run.batch_rows = random.choice([5, 8])
            run.mix = [*run.mix, random.choice(run.mix)]
        if len(self.seen) % 5 == 0:
            run.lr = run.lr * 0.9


@pytest.mark.parametrize(
    ("task", "step"),
    [
        *(("classification", 3), ("classification", 6), ("classification", 7)),
        *(("classification", 10), ("ner", 5), ("qa", 5), ("summary", 3), ("generation", 3)),
    ],
)
def test_an_interrupted_fit_ends_with_the_weights_of_one_that_was_not(
    tmp_path: Path, task: str, step: int
) -> None:
    settings = {"task": task, "more": STEERED if task == "classification" else ""}
    more = ("snapshot_every_s=0", "model.dropout=0.1", "optim.accumulate=2", "optim.epochs=4")
    work = tmp_path / "work"
    for folder in ("a", "b", "work"):
        (tmp_path / folder).mkdir()
    whole = fit_tiny(tmp_path / "a", *more, callbacks=[Restless()], **settings)
    with pytest.raises(Killed):
        fit_tiny(tmp_path / "b", *more, callbacks=[Restless(), KillAt(step)], work=work, **settings)
    begun = Restless()
    after = fit_tiny(
        tmp_path / "b", *more, callbacks=[begun, KillAt(-1)], work=work, resume=True, **settings
    )
    assert begun.seen[:step] == list(range(1, step + 1))  # it knew what came before
    weights = whole.model.state_dict()
    for name, value in after.model.state_dict().items():
        assert value.equal(weights[name]), name
    assert after.fitted.best == whole.fitted.best
    strip = [{k: v for k, v in one.items() if k != "seconds"} for one in after.fitted.curves]
    assert strip == [
        {k: v for k, v in one.items() if k != "seconds"} for one in whole.fitted.curves
    ]


def test_a_snapshot_of_other_data_is_refused(tmp_path: Path) -> None:
    work = tmp_path / "work"
    for folder in ("a", "work"):
        (tmp_path / folder).mkdir()
    with pytest.raises(Killed):
        fit_tiny(tmp_path / "a", "snapshot_every_s=0", callbacks=[KillAt(4)], work=work)
    with pytest.raises(CheckpointError, match="not those of the interrupted run"):
        fit_tiny(tmp_path / "a", "data.max_train=40", work=work, resume=True)


@pytest.mark.e2e
def test_a_killed_process_goes_on_and_publishes_the_same_weights(tmp_path: Path) -> None:
    """Three runs killed by SIGKILL at random moments, each gone on with until it is done."""
    recipe = write_recipe(
        tmp_path, "classification", WRITERS["classification"](tmp_path), epochs=40, batch_rows=4
    )
    settings = (
        *("--set", "artifacts.onnx_fp32=false", "--set", "artifacts.onnx_int8=false"),
        *("--set", "snapshot_every_s=0", "--set", "model.dropout=0.1"),
    )
    command = [sys.executable, "-m", "train", str(recipe), *settings, "--store"]

    def weights(store: Path) -> dict[str, bytes]:
        folder = Store(store).resolve("tiny").folder
        return {k: v.tobytes() for k, v in load_file(folder / "model.safetensors").items()}

    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    draw = random.Random(time.time_ns())
    store = tmp_path / "killed"
    for _ in range(3):
        process = subprocess.Popen(
            [*command, str(store), "--resume"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        state = next(iter(store.glob(".runs/tiny-*/state.pt")), None)
        before = state.stat().st_mtime_ns if state else 0
        while process.poll() is None:  # until it has begun to write snapshots of its own
            state = next(iter(store.glob(".runs/tiny-*/state.pt")), None)
            if state and state.stat().st_mtime_ns > before:
                break
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.5))
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it was done before it could be killed"
    done = subprocess.run(
        [*command, str(store), "--resume"], check=True, capture_output=True, text=True
    )
    assert "going on with the interrupted run" in done.stderr
    assert weights(store) == weights(tmp_path / "whole")
    assert not list(store.glob(".runs/*")), "a finished run leaves nothing behind"


def test_a_recipe_is_not_trained_twice_at_a_time(tmp_path: Path) -> None:
    recipe = load_recipe(
        write_recipe(tmp_path, "classification", WRITERS["classification"](tmp_path))
    )
    console = Console(quiet=True)
    with (
        run_folder(tmp_path, recipe, resume=False, console=console) as folder,
        pytest.raises(CheckpointError, match="by another process"),
        run_folder(tmp_path, recipe, resume=False, console=console),
    ):
        pass
    assert not folder.exists()


def test_gates_and_publication_do_not_decide_which_run_is_gone_on_with(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, "classification", WRITERS["classification"](tmp_path))
    recipe = load_recipe(path)
    same = load_recipe(path, ["gates.min_gain=3", "publish.alias=next", "snapshot_every_s=1"])
    other = load_recipe(path, ["optim.lr=1e-5"])
    assert recipe.fit_sha256 == same.fit_sha256 != other.fit_sha256
