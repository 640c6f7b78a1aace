"""The whole state of a run in one file, from which ``--resume`` goes on as if nothing had happened.

It is written now and then between two steps, whole or not at all. Beside it, in the run's folder,
lie the best weights so far, as the Trainer writes them.
"""

import os
import random
import time
from pathlib import Path, PosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import TrainerCallback

from contracts.errors import CheckpointError
from train.callbacks.curves import Curves
from train.callbacks.patience import Patience
from train.callbacks.relay import Relay
from train.processes import everyone, from_all, from_first
from train.run_folder import STATE_NAME

if TYPE_CHECKING:
    from train.trainer import TaskTrainer


class Snapshots(TrainerCallback):  # type: ignore[misc]
    """Writes snapshots, and brings a run back to the last one; the first of its callbacks.

    Attributes:
        trainer, relay, curves: the parts whose state is kept; set before training begins.
    """

    trainer: "TaskTrainer"
    relay: Relay
    curves: Curves

    def __init__(self, folder: Path, every_s: float, fingerprint: str) -> None:
        """Nothing is read or written yet.

        Args:
            folder: of the run; it is there.
            every_s: seconds between two snapshots, at least; 0: before every step.
            fingerprint: of all that decides about the run; another one cannot go on from it.
        """
        self.file = folder / STATE_NAME
        self.every_s, self.fingerprint = every_s, fingerprint
        self._saved = time.monotonic()
        self._found: dict[str, Any] = {}
        self._epoch = -1
        self._batches = 0

    def find(self) -> tuple[int, int] | None:
        """Read the last snapshot.

        Returns:
            The epoch that goes on, and its batches that are done; None: there is no snapshot.

        Raises:
            CheckpointError: it is of other data, or of another number of processes.
        """
        if not self.file.exists():
            return None
        with torch.serialization.safe_globals([Patience, PosixPath]):
            found = torch.load(self.file, weights_only=True, map_location="cpu")
        if found["fingerprint"] != self.fingerprint:
            raise CheckpointError(
                "The data or the base model are not those of the interrupted run; "
                "train without --resume to begin again."
            )
        processes = len(found["random"])
        if processes != everyone():
            raise CheckpointError(
                f"The interrupted run had {processes} processes, this one has {everyone()}; "
                "give it as many, or train without --resume to begin again."
            )
        self._found = found
        self._epoch, self._batches = found["epoch"], found["batches"]
        return self._epoch, self._batches

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Put everything where it was; the random state too, for what callbacks may draw."""
        if not self._found:
            return
        found, trainer = self._found, self.trainer
        trainer.load_state_dict(found["trainer"])
        self.relay.run.load_state_dict(found["run"])
        self.relay.load_state_dict(found["callbacks"], inside_epoch=self._batches > 0)
        self.curves.load_state_dict(found["curves"])
        self.restore_random()

    def restore_random(self) -> None:
        """Draw as the interrupted run would have drawn."""
        python, numbers, cpu, *devices = self._found["random"][self.trainer.args.process_index]
        random.setstate(python)
        np.random.set_state(("MT19937", *numbers))
        torch.random.set_rng_state(torch.tensor(cpu, dtype=torch.uint8))
        if devices:
            states = [torch.tensor(one, dtype=torch.uint8) for one in devices]
            torch.cuda.random.set_rng_state_all(states)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A moment for a snapshot, unless this epoch is the one that goes on."""
        if self._found:
            if not self._batches:
                self._found = {}
            return
        self._epoch, self._batches = self._epoch + 1, 0
        self._save_if_due()

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A moment for a snapshot, unless nothing was done since the last one."""
        if self._found:
            self._found = {}
        elif self._batches:
            self._save_if_due()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count."""
        self._batches += args.gradient_accumulation_steps

    def _save_if_due(self) -> None:
        due = time.monotonic() - self._saved >= self.every_s
        if not from_first(due):
            return
        draws = from_all(_random_state())
        if self.trainer.args.should_save:
            self._write(draws)
        self._saved = time.monotonic()

    def _write(self, draws: list[Any]) -> None:
        state = {
            "fingerprint": self.fingerprint,
            "epoch": self._epoch,
            "batches": self._batches,
            "trainer": self.trainer.state_dict(),
            "run": self.relay.run.state_dict(),
            "callbacks": self.relay.state_dict(),
            "curves": self.curves.state_dict(),
            "random": draws,
        }
        draft = self.file.with_name(f"{self.file.name}.part")
        with draft.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.file)


def _random_state() -> list[Any]:
    """Of Python, numpy, torch and its devices, as plain numbers: processes exchange them."""
    numbers: Any = np.random.get_state()
    _, keys, *rest = numbers
    state = [random.getstate(), [keys.tolist(), *rest], torch.get_rng_state().tolist()]
    if torch.cuda.is_available():
        state += [one.tolist() for one in torch.cuda.random.get_rng_state_all()]
    return state
