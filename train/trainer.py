"""The Trainer of transformers with a task's batches, loss and scores."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import Trainer

from train.batches import LengthBatches, Share
from train.optimizers import make_optimizer
from train.processes import everyone, from_first, is_first
from train.rows import IGNORED, INPUTS
from train.schedules import Schedule
from train.snapshot import Snapshots
from train.tasks.base import Scores, TrainTask

SCHEDULER_STATE = ("base_lrs", "last_epoch", "_step_count", "_last_lr")
SCHEDULE_STATE = ("origin", "begun", "pace")
PROGRESS = (
    *("global_step", "epoch", "max_steps"),
    *("best_metric", "best_global_step", "best_model_checkpoint"),
)
"""Of the Trainer's state: where it stands, and what was best."""
LOSS_STATE = ("_tr_loss", "_total_loss_scalar", "_globalstep_last_logged")


class TaskTrainer(Trainer):  # type: ignore[misc]
    """The Trainer with a task's batches, loss and scores."""

    def __init__(
        self,
        *,
        job: TrainTask,
        batches: LengthBatches,
        scores: Callable[[Any], Scores],
        smoothing: float,
        snapshots: Snapshots | None = None,
        position: tuple[int, int] | None = None,
        **kwargs: Any,
    ) -> None:
        """Prepare a run.

        Args:
            job: the task.
            batches: which rows share a step.
            scores: of the live model on the dev set.
            smoothing: of labels.
            snapshots: bring a run back that was interrupted,
            position: at this epoch and batch; None: begin at the beginning.
            kwargs: of the ``Trainer``.
        """
        super().__init__(**kwargs)
        self.snapshots, self.position = snapshots, position
        self.job, self.batches, self.scores, self.smoothing = job, batches, scores, smoothing
        # The task's loss is a mean over the batch: accumulation divides it by its batches.
        self.model_accepts_loss_kwargs = False
        self.loss_is_scaled_for_ga = False
        self.step_loss: Any = math.nan
        self._planned_batches = len(batches)

    def get_train_dataloader(self) -> Any:
        """Batches of like length, or this process's share of each."""
        sampler: Any = self.batches
        if everyone() > 1:
            sampler = Share(self.batches, self.args.process_index, everyone())
        return DataLoader(self.train_dataset, batch_sampler=sampler, collate_fn=self.data_collator)

    def create_optimizer(self, model: Any = None) -> Any:
        """The recipe's optimiser."""
        if self.optimizer is None:
            decayed = self.get_decay_parameter_names(self.model)
            self.optimizer: Any = make_optimizer(self.model, self.job.recipe.optim, decayed)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The recipe's schedule."""
        if self.lr_scheduler is None:
            optim = self.job.recipe.optim
            warmup = self.args.get_warmup_steps(num_training_steps)
            self.schedule = Schedule(optim, num_training_steps, warmup)
            self.lr_scheduler: Any = LambdaLR(optimizer or self.optimizer, self.schedule)
        return self.lr_scheduler

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The task's loss of one batch."""
        targets = {name: tensor for name, tensor in inputs.items() if name not in INPUTS}
        outputs = model(**self.job.inputs(self.model, inputs))
        loss = self.job.loss(outputs, targets, self.smoothing)
        self.step_loss = loss.detach()
        if everyone() > 1:
            loss = loss * self._weight(targets)
        return (loss, outputs) if return_outputs else loss

    def forget_losses(self) -> None:
        """Leave what was summed up since the last reading out of the next one."""
        self._tr_loss.zero_()

    def _run_epoch(self, **kwargs: Any) -> None:
        """One pass, over as many batches as there are now.

        The Trainer counts them once, before the first epoch; a callback may have changed that.
        """
        if self.position is None or kwargs["epoch"] != self.position[0] or not self.position[1]:
            self.batches.begin(kwargs["epoch"])
        batches = len(self.batches)
        steps = -(-batches // self.args.gradient_accumulation_steps)
        if batches != self._planned_batches:
            self._planned_batches = batches
            left = max(1, math.ceil((self.args.num_train_epochs - kwargs["epoch"]) * steps))
            self.state.max_steps = self.state.global_step + left
            self.schedule.replan(self.state.global_step, left)
        kwargs |= {"steps_in_epoch": batches, "num_update_steps_per_epoch": steps}
        super()._run_epoch(**kwargs)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """The dev scores, from the server's own pipeline; the first process takes them for all."""
        found = from_first(self.scores(self.model) if is_first() else {})
        scores = {f"{metric_key_prefix}_{name}": value for name, value in found.items()}
        self.log(dict(scores))
        control = self.callback_handler.on_evaluate(self.args, self.state, self.control, scores)
        self.control: Any = control
        return scores

    def state_dict(self) -> dict[str, Any]:
        """All that a snapshot keeps of the run, but for its callbacks."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": _some(self.lr_scheduler, SCHEDULER_STATE),
            "schedule": _some(self.schedule, SCHEDULE_STATE),
            "batches": self.batches.state_dict(),
            "planned_batches": self._planned_batches,
            "progress": _some(self.state, PROGRESS),
            "loss": _some(self, LOSS_STATE),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Be where a snapshot was taken; called when training begins."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        _set(self.lr_scheduler, state["scheduler"])
        _set(self.schedule, state["schedule"])
        self.batches.load_state_dict(state["batches"])
        self._planned_batches = state["planned_batches"]
        _set(self.state, state["progress"])
        _set(self, state["loss"])
        self._tr_loss: Any = self._tr_loss.to(self.args.device)

    def _inner_training_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Tell the loop that it goes on; where from is asked below."""
        if self.position is not None:
            kwargs["resume_from_checkpoint"] = "a snapshot"
        return super()._inner_training_loop(*args, **kwargs)

    def _init_training_state(
        self, max_steps: int, steps: int, epochs: int, resume_from_checkpoint: Any, trial: Any
    ) -> tuple[int, int]:
        """Epoch and batch to begin at."""
        begin: tuple[int, int] = super()._init_training_state(max_steps, steps, epochs, None, trial)
        return self.position or begin

    def _load_optimizer_and_scheduler(self, checkpoint: Any) -> None:
        """Nothing: the snapshot has them, and puts them back when training begins."""

    def _load_rng_state(self, checkpoint: Any) -> None:
        """After the batches that are done were passed over: draw as from there on."""
        if self.snapshots is not None and self.position is not None and self.position[1]:
            self.snapshots.restore_random()

    def _weight(self, targets: dict[str, Any]) -> Any:
        """What this process's mean loss counts, so that the mean over processes is the batch's."""
        first = next(iter(targets.values()))
        count = (first != IGNORED).sum() if self.job.per_token else torch.tensor(len(first))
        count = count.to(self.args.device, torch.float32)
        total = count.clone()
        torch.distributed.all_reduce(total)
        return count * everyone() / total.clamp(min=1)


def _some(thing: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(thing, name) for name in names}


def _set(thing: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(thing, name, value)
