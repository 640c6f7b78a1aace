"""What a callback may change takes effect in the run that goes on: learning, batches, layers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import CheckpointError
from tests.train.engine import fit_tiny
from train.callbacks import Callback, Run

CONSTANT = {"schedule": '"constant_with_warmup"', "warmup_share": 0}


class Diary(Callback):
    """Notes something of every step, and does something at the beginning of an epoch."""

    def __init__(
        self, note: Callable[[Run], Any], at_epoch: dict[int, Callable[[Run], Any]] | None = None
    ) -> None:
        self.note, self.at_epoch = note, at_epoch or {}
        self.notes: list[Any] = []
        self.moments: list[str] = []

    def on_epoch_begin(self, run: Run) -> None:
        self.moments.append("epoch_begin")
        self.at_epoch.get(round(run.epoch), lambda run: None)(run)

    def on_step_end(self, run: Run) -> None:
        self.moments.append("step_end")
        self.notes.append(self.note(run))


class EveryMoment(Callback):
    def __init__(self) -> None:
        self.moments: list[str] = []
        for name in dir(Callback):
            if name.startswith("on_"):
                setattr(self, name, self._note(name))

    def _note(self, name: str) -> Callable[[Run], None]:
        return lambda run: self.moments.append(name)


def setter(name: str, value: Any) -> Callable[[Run], None]:
    return lambda run: setattr(run, name, value)


def test_every_moment_of_a_run_comes_in_order(tmp_path: Path) -> None:
    every = EveryMoment()
    fit_tiny(tmp_path, epochs=2, batch_rows=24, callbacks=[every], lr=1e-12)
    step = ["on_step_end", "on_log"]
    epoch = ["on_epoch_begin", *step, *step, "on_epoch_end", "on_evaluate"]
    assert every.moments == [
        "on_train_begin", *epoch, "on_save", *epoch, "on_train_end"
    ]  # fmt: skip


def test_the_rate_is_set_from_that_moment_and_the_schedule_goes_on(tmp_path: Path) -> None:
    diary = Diary(lambda run: run.lr, {1: setter("lr", 1.0)})
    fit_tiny(tmp_path, lr=2e-3, epochs=2, batch_rows=22, warmup_share=0, callbacks=[diary])
    assert diary.notes == pytest.approx([1.5e-3, 1e-3, 0.5, 0])


def test_a_rate_set_during_warm_up_at_zero_is_the_peak(tmp_path: Path) -> None:
    diary = Diary(lambda run: run.lr, {0: setter("lr", 1e-3)})
    fit_tiny(tmp_path, epochs=1, batch_rows=11, warmup_share=0.5, callbacks=[diary])
    assert max(diary.notes) == pytest.approx(1e-3)


def test_batches_change_with_the_next_epoch_and_the_schedule_still_ends_at_zero(
    tmp_path: Path,
) -> None:
    diary = Diary(lambda run: (run.step, run.steps, run.lr), {1: setter("batch_rows", 11)})
    done = fit_tiny(tmp_path, lr=1e-3, epochs=3, batch_rows=44, warmup_share=0, callbacks=[diary])
    assert diary.moments.count("epoch_begin") == 3
    assert [note[0] for note in diary.notes] == list(range(1, 10))
    assert [note[1] for note in diary.notes] == [3] + [9] * 8
    assert diary.notes[0][2] == pytest.approx(2e-3 / 3)
    assert diary.notes[-1][2] == pytest.approx(0, abs=1e-12)
    assert [epoch["epoch"] for epoch in done.fitted.curves] == [1, 2, 3]


def test_the_data_mix_decides_what_is_learnt(tmp_path: Path) -> None:
    """Rows of one label alone teach the model to say nothing else."""

    def one_label(run: Run) -> None:
        run.mix = [i for i, row in enumerate(run.rows) if row.targets["labels"] == 0] * 2

    diary = Diary(lambda run: len(run.mix), {0: one_label})
    done = fit_tiny(tmp_path, epochs=6, callbacks=[diary])
    assert set(diary.notes) == {42}  # of 43 rows, 21 have the first label
    assert done.fitted.curves[-1]["accuracy"] <= 0.6
    assert fit_tiny(tmp_path, epochs=6).fitted.best == 1
    with pytest.raises(CheckpointError, match="data mix"):
        fit_tiny(tmp_path, callbacks=[Diary(len, {0: setter("mix", [99])})])


def test_frozen_parts_stop_moving_and_thawed_ones_begin(tmp_path: Path) -> None:
    diary = Diary(lambda run: run.frozen, {0: setter("frozen", ["bert"])})
    moved = fit_tiny(tmp_path, epochs=1, callbacks=[diary]).moved()
    assert moved == {"classifier.weight", "classifier.bias"}

    diary = Diary(lambda run: run.frozen, {1: setter("frozen", ["embeddings"])})
    moved = fit_tiny(
        tmp_path, "model.freeze=bert", epochs=2, lr=1e-2, batch_rows=8, callbacks=[diary]
    ).moved()
    assert any("layer.0." in name for name in moved)
    assert not any("embeddings" in name for name in moved)


def test_dropout_changes_what_the_model_leaves_out(tmp_path: Path) -> None:
    losses = {}
    for dropout in (0.0, 0.9):
        diary = Diary(lambda run: (run.dropout, run.step_loss), {0: setter("dropout", dropout)})
        done = fit_tiny(tmp_path, epochs=1, callbacks=[diary])
        assert {note[0] for note in diary.notes} == {dropout}
        assert done.model.bert.encoder.layer[0].attention.self.dropout.p == 0
        losses[dropout] = [note[1] for note in diary.notes]
    assert losses[0.0] != losses[0.9]


def test_stop_ends_the_run_after_the_step_with_the_best_weights(tmp_path: Path) -> None:
    diary = Diary(lambda run: run.stop() if run.step == 2 else None)
    done = fit_tiny(tmp_path, epochs=5, callbacks=[diary])
    assert done.fitted.steps == 2
    assert len(done.fitted.curves) == 1


def test_restore_brings_weights_and_optimiser_back_and_leaves_the_rate(tmp_path: Path) -> None:
    file = tmp_path / "kept.pt"
    seen: dict[str, Any] = {}

    def act(run: Run) -> Any:
        weight = run.model.classifier.weight
        if run.step == 1:
            run.keep(file)
            seen["kept"] = weight.detach().clone()
        elif run.step == 3:
            assert not weight.equal(seen["kept"])
            run.lr = 1e-5
            run.restore(file)
            assert weight.equal(seen["kept"])
            assert run.lr == pytest.approx(1e-5)
            state = run._trainer.optimizer.state_dict()["state"]
            assert {int(one["step"]) for one in state.values()} == {1}

    fit_tiny(tmp_path, epochs=1, callbacks=[Diary(act)], **CONSTANT)
    assert "kept" in seen
