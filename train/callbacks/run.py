"""The run as a callback sees it: what is read, and what can be changed while it goes on."""

import math
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contracts.errors import CheckpointError
from train.freezing import freeze, layers

if TYPE_CHECKING:
    from train.rows import LabelledRow
    from train.trainer import TaskTrainer

ATTENTION = re.compile(r"attention\.(self|attn)\.|attention\.(attention_)?dropout$")
"""Dropout of attention weights: the recipe's ``attention_dropout``, not ``dropout``."""


class Run:
    """State to read, and settings to change from that moment on.

    Attributes:
        loss: mean training loss since the reading before; not a number until the first.
        scores: of the last evaluation on the dev set, by name.
        best: the best dev score so far; minus infinity before the first.
        saved: folder of the best weights so far, as transformers writes them.
    """

    def __init__(self, trainer: "TaskTrainer", frozen: Sequence[str]) -> None:
        self._trainer = trainer
        self._frozen = list(frozen)
        self._started = time.monotonic()
        self.loss = math.nan
        self.scores: dict[str, float] = {}
        self.best = -math.inf
        self.saved: Path | None = None

    @property
    def main(self) -> bool:
        """Whether this process speaks for the run: of several (torchrun), the first one."""
        return bool(self._trainer.is_world_process_zero())

    @property
    def model(self) -> Any:
        """The transformers model."""
        return self._trainer.model

    @property
    def folder(self) -> Path:
        """For files that only this run needs; it is removed at the end."""
        return Path(self._trainer.args.output_dir)

    @property
    def name(self) -> str:
        """Of the model in the store."""
        return str(self._trainer.job.recipe.model.name)

    @property
    def metric(self) -> str:
        """Name of the score that chooses the best weights."""
        return str(self._trainer.job.metric)

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self._trainer.state.global_step)

    @property
    def steps(self) -> int:
        """Steps of the whole run, as planned now."""
        return int(self._trainer.state.max_steps)

    @property
    def epoch(self) -> float:
        """Epochs done, with their fraction."""
        return float(self._trainer.state.epoch or 0.0)

    @property
    def epochs(self) -> float:
        """Epochs of the whole run."""
        return float(self._trainer.args.num_train_epochs)

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self._started

    @property
    def step_loss(self) -> float:
        """Loss of the last batch; reading it waits for the device."""
        return float(self._trainer.step_loss)

    @property
    def lr(self) -> float:
        """The rate of the next step; with ``layer_decay`` that of the head.

        Setting it scales the rest of the schedule so that it goes on from the new rate. Where the
        schedule stands at 0 (the first step of a warm-up), the new value is that of its peak.
        """
        return max(float(group["lr"]) for group in self._trainer.optimizer.param_groups)

    @lr.setter
    def lr(self, value: float) -> None:
        now = self.lr or max(self._trainer.lr_scheduler.base_lrs)
        self.scale_lr(value / now)

    def scale_lr(self, factor: float) -> None:
        """Multiply the rate, now and for the rest of the schedule."""
        scheduler = self._trainer.lr_scheduler
        scheduler.base_lrs = [rate * factor for rate in scheduler.base_lrs]
        self._set_rates()

    @property
    def batch_rows(self) -> int:
        """Rows of a batch, at most; a change counts from the next epoch's beginning."""
        return self._trainer.batches.next.max_rows

    @batch_rows.setter
    def batch_rows(self, value: int) -> None:
        self._trainer.batches.plan(max_rows=value)

    @property
    def batch_tokens(self) -> int:
        """Padded tokens of a batch, at most; a change counts from the next epoch's beginning."""
        return self._trainer.batches.next.max_tokens

    @batch_tokens.setter
    def batch_tokens(self, value: int) -> None:
        self._trainer.batches.plan(max_tokens=value)

    @property
    def rows(self) -> "Sequence[LabelledRow]":
        """All training rows."""
        return self._trainer.train_dataset  # type: ignore[no-any-return]

    @property
    def mix(self) -> list[int]:
        """Which rows an epoch goes through, as indices into ``rows``.

        An index may occur several times. A change counts from the next epoch's beginning.
        """
        return list(self._trainer.batches.next.rows)

    @mix.setter
    def mix(self, value: Sequence[int]) -> None:
        self._trainer.batches.plan(rows=value)

    @property
    def layers(self) -> int:
        """Encoder layers of the model."""
        return layers(self.model)

    @property
    def frozen(self) -> list[str]:
        """Parts that are not trained, as in ``model.freeze``."""
        return list(self._frozen)

    @frozen.setter
    def frozen(self, parts: Sequence[str]) -> None:
        freeze(self.model, parts)
        self._frozen = list(parts)
        for value in self.model.parameters():
            if not value.requires_grad:
                value.grad = None

    @property
    def dropout(self) -> float:
        """Probability on hidden layers and the head: the highest, if they differ."""
        return max((one.p for one in self._dropouts()), default=0.0)

    @dropout.setter
    def dropout(self, value: float) -> None:
        if not 0 <= value < 1:
            raise CheckpointError(f"dropout is {value}; it must be at least 0 and below 1.")
        for one in self._dropouts():
            one.p = value

    def stop(self) -> None:
        """End after this step; the dev set is evaluated once more and the best weights stay."""
        self._trainer.control.should_training_stop = True

    def save_model(self, folder: Path) -> None:
        """Write the weights as they are now in the Hugging Face layout."""
        from train.base_model import save_model

        save_model(self.model, folder)

    def keep(self, file: Path) -> None:
        """Write weights and the optimiser's state to a file, for ``restore``."""
        import torch

        state = {
            "model": self.model.state_dict(),
            "optimizer": self._trainer.optimizer.state_dict(),
        }
        draft = file.with_name(f"{file.name}.part")
        torch.save(state, draft)
        draft.replace(file)

    def restore(self, file: Path) -> None:
        """Go back to what ``keep`` wrote; step, schedule and rate stay where they are."""
        import torch

        state = torch.load(file, weights_only=True, map_location="cpu")
        self.model.load_state_dict(state["model"])
        self._trainer.optimizer.load_state_dict(state["optimizer"])
        self._set_rates()
        self._trainer.forget_losses()

    def state_dict(self) -> dict[str, Any]:
        """What is not in weights, optimiser or schedule, as plain data."""
        return {
            "seconds": self.seconds,
            "loss": self.loss,
            "scores": self.scores,
            "best": self.best,
            "saved": self.saved,
            "frozen": self._frozen,
            "dropouts": [one.p for one in self._dropouts()],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Be as it was."""
        self._started = time.monotonic() - state["seconds"]
        self.loss, self.scores = state["loss"], state["scores"]
        self.best, self.saved = state["best"], state["saved"]
        self.frozen = state["frozen"]
        for one, value in zip(self._dropouts(), state["dropouts"], strict=True):
            one.p = value

    def _set_rates(self) -> None:
        scheduler = self._trainer.lr_scheduler
        groups = self._trainer.optimizer.param_groups
        factor = self._trainer.schedule(scheduler.last_epoch)
        for group, rate in zip(groups, scheduler.base_lrs, strict=True):
            group["initial_lr"], group["lr"] = rate, rate * factor

    def _dropouts(self) -> list[Any]:
        import torch

        return [
            module
            for name, module in self.model.named_modules()
            if isinstance(module, torch.nn.Dropout) and not ATTENTION.search(name)
        ]
