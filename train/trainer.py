"""The Trainer of transformers with a task's batches, loss and scores."""

import math
from collections.abc import Callable
from typing import Any

from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import Trainer

from train.batches import LengthBatches
from train.optimizers import make_optimizer
from train.schedules import Schedule
from train.tasks.base import Scores, TrainTask

INPUTS = frozenset(("input_ids", "attention_mask", "token_type_ids"))
"""What the model reads; everything else in a batch is a target."""


class TaskTrainer(Trainer):  # type: ignore[misc]
    """The Trainer with a task's batches, loss and scores."""

    def __init__(
        self,
        *,
        job: TrainTask,
        batches: LengthBatches,
        scores: Callable[[Any], Scores],
        smoothing: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job, self.batches, self.scores, self.smoothing = job, batches, scores, smoothing
        # The task's loss is a mean over the batch: accumulation divides it by its batches.
        self.model_accepts_loss_kwargs = False
        self.loss_is_scaled_for_ga = False
        self.step_loss: Any = math.nan
        self._planned_batches = len(batches)

    def get_train_dataloader(self) -> Any:
        """Batches of like length."""
        loader = DataLoader(
            self.train_dataset, batch_sampler=self.batches, collate_fn=self.data_collator
        )
        return self.accelerator.prepare(loader)

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
        outputs = model(**{name: tensor for name, tensor in inputs.items() if name in INPUTS})
        loss = self.job.loss(outputs, targets, self.smoothing)
        self.step_loss = loss.detach()
        return (loss, outputs) if return_outputs else loss

    def forget_losses(self) -> None:
        """Leave what was summed up since the last reading out of the next one."""
        self._tr_loss.zero_()

    def _run_epoch(self, **kwargs: Any) -> None:
        """One pass, over as many batches as there are now.

        The Trainer counts them once, before the first epoch; a callback may have changed that.
        """
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
        """The dev scores, from the server's own pipeline."""
        scores = {
            f"{metric_key_prefix}_{name}": value for name, value in self.scores(self.model).items()
        }
        self.log(dict(scores))
        control = self.callback_handler.on_evaluate(self.args, self.state, self.control, scores)
        self.control: Any = control
        return scores
