"""Every built-in callback shows its effect on a real run; trackers do in ``test_trackers``."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import CheckpointError
from tests.train.engine import Fit, fit_tiny
from train.callbacks import Callback, Run
from train.callbacks.choice import BUILT_IN
from train.callbacks.guard import BadLossGuard
from train.callbacks.rates import DecayRate
from train.callbacks.trackers import Tracker


class Rates(Callback):
    """The rate of each step to come, from the first."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_train_begin(self, run: Run) -> None:
        self.rates.append(run.lr)

    def on_step_end(self, run: Run) -> None:
        self.rates.append(run.lr)


class Moves(Callback):
    """Which parts moved in each epoch."""

    PARTS = ("embeddings", "layer.0", "layer.1", "pooler", "classifier")

    def __init__(self) -> None:
        self.parts: list[set[str]] = []

    def on_epoch_begin(self, run: Run) -> None:
        self.before = {name: one.clone() for name, one in run.model.state_dict().items()}

    def on_epoch_end(self, run: Run) -> None:
        now = run.model.state_dict()
        moved = [name for name, one in self.before.items() if not one.equal(now[name])]
        self.parts.append({part for part in self.PARTS if any(part in name for name in moved)})


def fit_with(folder: Path, entry: str, **settings: Any) -> tuple[Fit, list[float]]:
    """A run at a constant rate of 1e-3 with one callback of the recipe; two steps an epoch."""
    rates = Rates()
    settings = {
        "lr": 1e-3,
        "schedule": '"constant_with_warmup"',
        "warmup_share": 0,
        "batch_rows": 22,
        **settings,
    }
    more = f"[[callbacks]]\n{entry}"
    own = [*settings.pop("callbacks", ()), rates]
    return fit_tiny(folder, more=more, callbacks=own, **settings), rates.rates


def test_step_lr_falls_every_so_many_epochs_or_steps(tmp_path: Path) -> None:
    _, rates = fit_with(tmp_path, 'name = "step_lr"\nfactor = 0.1\nevery = 2', epochs=4)
    assert rates == pytest.approx([1e-3, *[1e-3] * 4, *[1e-4] * 4])
    _, rates = fit_with(tmp_path, 'name = "step_lr"\nper = "step"', epochs=1)
    assert rates == pytest.approx([1e-3, 5e-4, 2.5e-4])


def test_decay_lr_multiplies_by_one_minus_alpha_decay(tmp_path: Path) -> None:
    _, rates = fit_with(tmp_path, 'name = "decay_lr"\nalpha = 0.5\ndecay = "inverse"', epochs=3)
    first = 1e-3
    second = first * (1 - 0.5)
    third = second * (1 - 0.5 / 2)
    assert rates == pytest.approx([first] * 3 + [second] * 2 + [third] * 2)
    assert DecayRate(alpha=0.5, decay="linear").factor(1, 4) == 1 - 0.5 * 0.75
    assert DecayRate(alpha=0.5, decay="exponential", gamma=0.5).factor(2, 4) == 1 - 0.5 * 0.25
    _, rates = fit_with(tmp_path, 'name = "decay_lr"\nalpha = 0.5\nper = "step"', epochs=1)
    assert rates == pytest.approx([1e-3, 5e-4, 2.5e-4])


def test_reduce_on_plateau_lowers_the_rate_when_nothing_gets_better(tmp_path: Path) -> None:
    entry = 'name = "reduce_on_plateau"\nfactor = 0.1\npatience = 2\nmin_lr = 5e-14'
    _, rates = fit_with(tmp_path, entry, lr=1e-12, epochs=8)
    # One better score, then two without; never under the floor.
    assert rates[-1] == pytest.approx(5e-14)
    assert rates[2 * 3] == pytest.approx(1e-12)
    assert rates[2 * 3 + 1] == pytest.approx(1e-13)


def test_gradual_unfreezing_thaws_from_the_head_down(tmp_path: Path) -> None:
    """By the epochs that it lasts, a run moves the head, the last layer, the first, everything."""
    moves = Moves()
    fit_with(tmp_path, 'name = "gradual_unfreezing"', epochs=4, callbacks=[moves])
    first, second, third, fourth = moves.parts
    assert first == {"classifier", "pooler"}
    assert second == first | {"layer.1"}
    assert third == second | {"layer.0"}
    assert fourth == third | {"embeddings"}

    moves = Moves()
    entry = 'name = "gradual_unfreezing"\nlayers = 2\nevery = 2'
    fit_with(tmp_path, f"{entry}\nembeddings = false", epochs=5, callbacks=[moves])
    assert moves.parts == [first, first, third, third, third]


def test_early_stopping_ends_the_run(tmp_path: Path) -> None:
    done, _ = fit_with(tmp_path, 'name = "early_stopping"\npatience = 2', lr=1e-12, epochs=8)
    assert len(done.fitted.curves) == 3


def test_checkpoints_keep_the_last_ones_and_the_best(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    folder = tmp_path / "kept"
    entry = f'name = "checkpoints"\nfolder = "{folder}"\nkeep = 2'
    done, _ = fit_with(tmp_path, entry, lr=3e-3, epochs=10)
    assert sorted(one.name for one in folder.iterdir()) == ["best", "step-18", "step-20"]
    best = load_file(folder / "best" / "model.safetensors")
    weights = done.model.state_dict()
    assert all(weights[name].equal(value) for name, value in best.items())
    last = load_file(folder / "step-20" / "model.safetensors")
    assert any(not best[name].equal(value) for name, value in last.items())


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_metric_log_writes_losses_and_scores(ending: str, tmp_path: Path) -> None:
    path = tmp_path / "logs" / f"run.{ending}"
    done, _ = fit_with(tmp_path, f'name = "metric_log"\npath = "{path}"', epochs=2)
    if ending == "jsonl":
        records = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        with path.open(newline="") as file:
            found = list(csv.DictReader(file))
        records = [{name: float(one) for name, one in row.items() if one} for row in found]
    assert [record["step"] for record in records] == [1, 2, 2, 3, 4, 4]
    scores = [record["accuracy"] for record in records if "accuracy" in record]
    assert scores == [epoch["accuracy"] for epoch in done.fitted.curves]
    losses = [record["loss"] for record in records if "loss" in record]
    assert sum(losses[2:]) / 2 == pytest.approx(done.fitted.curves[1]["loss"])
    assert {record["lr"] for record in records} == {1e-3}


def test_profiler_tells_where_time_and_memory_went(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    fit_with(tmp_path, f'name = "profiler"\npath = "{path}"', epochs=2)
    found = json.loads(path.read_text())
    assert found["steps"] == 4
    assert 0 < found["step_p50_s"] <= found["step_p90_s"] < 60
    assert len(found["epochs"]) == 2
    assert all(one["train_s"] > 0 and one["evaluate_s"] > 0 for one in found["epochs"])
    assert found["peak_memory_bytes"] > 50e6


DIVERGING = {"lr": 1.0, "epochs": 20, "batch_rows": 8, "max_grad_norm": 0}


def diverge(folder: Path, more: str, guards: list[Callback]) -> tuple[Fit, list[float]]:
    """A regression by sgd, whose loss grows from step to step at this rate until it overflows."""
    rows = [{"text": f"{['refund', 'parcel'][i % 2]} {i}", "label": i % 2} for i in range(40)]
    rates = Rates()
    (folder / "numbers.jsonl").write_text("\n".join(map(json.dumps, rows)))
    settings = {**DIVERGING, "name": '"sgd"', "schedule": '"constant_with_warmup"'}
    overrides = ("data.train=numbers.jsonl", "model.problem_type=regression")
    done = fit_tiny(
        folder, *overrides, more=more, callbacks=[*guards, rates], warmup_share=0, **settings
    )
    return done, rates.rates


def test_without_a_guard_the_run_diverges(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"not a number .* lower optim\.lr"):
        diverge(tmp_path, "", [])


def test_the_guard_goes_back_to_good_weights_at_a_lower_rate_and_the_run_learns(
    tmp_path: Path,
) -> None:
    guard = BadLossGuard(attempts=20, factor=0.1)
    done, rates = diverge(tmp_path, "", [guard])
    assert guard.returns
    assert rates[-1] == pytest.approx(0.1 ** len(guard.returns))
    assert all(math.isfinite(epoch["loss"]) for epoch in done.fitted.curves if "loss" in epoch)
    assert done.fitted.curves[-1]["root_mean_square_error"] < 1


class GoodWeights(Callback):
    """Compares what the guard brings back with what the run began with."""

    def __init__(self, guard: BadLossGuard) -> None:
        self.guard, self.equal, self.lr = guard, False, 0.0

    def on_train_begin(self, run: Run) -> None:
        self.before = {name: one.clone() for name, one in run.model.state_dict().items()}

    def on_step_end(self, run: Run) -> None:
        if self.guard.returns == [run.step]:
            now, self.lr = run.model.state_dict(), run.lr
            self.equal = all(one.equal(now[name]) for name, one in self.before.items())


def test_a_loss_that_is_no_number_brings_back_good_weights_at_half_the_rate(
    tmp_path: Path,
) -> None:
    """Epochs with huge but finite losses lie between: their weights are not good."""
    guard = BadLossGuard(attempts=20, max_rise=1e300)
    good = GoodWeights(guard)
    diverge(tmp_path, "", [guard, good])
    assert guard.returns[0] > 5
    assert good.equal
    assert good.lr == pytest.approx(0.5)


def test_the_guard_gives_up_after_its_attempts(tmp_path: Path) -> None:
    more = '[[callbacks]]\nname = "bad_loss_guard"\nattempts = 1\nfactor = 0.99'
    with pytest.raises(CheckpointError, match="after 1 returns to good weights"):
        diverge(tmp_path, more, [])


def test_a_class_of_ones_own_is_found_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "own_callback_of_a_test.py").write_text(
        "from train.callbacks import Callback, Run\n"
        "class Half(Callback):\n"
        "    def __init__(self, *, until: int = 1) -> None:\n"
        "        self.until = until\n"
        "    def on_step_end(self, run: Run) -> None:\n"
        "        if run.step == self.until:\n"
        "            run.stop()\n"
    )
    entry = 'class = "own_callback_of_a_test.Half"\nuntil = 3'
    done, _ = fit_with(tmp_path, entry, epochs=8)
    assert done.fitted.steps == 3


def test_every_built_in_callback_is_tested_here() -> None:
    text = Path(__file__).read_text()
    for name, kind in BUILT_IN.items():
        assert f'name = "{name}"' in text or issubclass(kind, Tracker)
