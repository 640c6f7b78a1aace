"""Fine-tuning: the Hugging Face Trainer around a task's rows, loss and scores.

Three things of the Trainer are replaced: batches are grouped by length under a token budget, the
loss is the task's, and evaluation asks the server's own pipeline around the live model.
"""

import inspect
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from handlers.base import Handler
from handlers.pipeline import Pipeline
from train.base_model import quiet_transformers
from train.batches import LengthBatches
from train.callbacks import Curves
from train.live import LiveBackend
from train.optimizers import make_optimizer
from train.recipe import Recipe
from train.rows import LabelledRow, collate
from train.schedules import Schedule
from train.tasks.base import Scores, TrainTask

LOGS_PER_RUN = 50
"""How often the loss is read: each reading waits for the device."""
EVALUATION_TOKENS = 8192
"""Padded tokens of one dev batch."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What training gave."""

    curves: list[dict[str, float]]
    """Per epoch: ``epoch``, ``step``, ``seconds``, ``loss`` and the dev scores."""
    best: float
    """The best dev score, whose weights the model has now."""
    steps: int
    bf16: bool


class _Trainer(Trainer):  # type: ignore[misc]
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
        self.inputs = frozenset(inspect.signature(self.model.forward).parameters) - {"labels"}

    def get_train_dataloader(self) -> Any:
        loader = DataLoader(
            self.train_dataset, batch_sampler=self.batches, collate_fn=self.data_collator
        )
        return self.accelerator.prepare(loader)

    def create_optimizer(self, model: Any = None) -> Any:
        if self.optimizer is None:
            decayed = self.get_decay_parameter_names(self.model)
            self.optimizer: Any = make_optimizer(self.model, self.job.recipe.optim, decayed)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
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
        targets = {name: tensor for name, tensor in inputs.items() if name not in INPUTS}
        outputs = model(**{name: tensor for name, tensor in inputs.items() if name in INPUTS})
        loss = self.job.loss(outputs, targets, self.smoothing)
        return (loss, outputs) if return_outputs else loss

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        scores = {
            f"{metric_key_prefix}_{name}": value for name, value in self.scores(self.model).items()
        }
        self.log(dict(scores))
        control = self.callback_handler.on_evaluate(self.args, self.state, self.control, scores)
        self.control: Any = control
        return scores


INPUTS = frozenset(("input_ids", "attention_mask", "token_type_ids"))
"""What the model reads; everything else in a batch is a target."""


def fit(
    recipe: Recipe,
    job: TrainTask,
    model: Any,
    handler: Handler[Any, Any],
    rows: Sequence[LabelledRow],
    dev: Sequence[Any],
    watchers: Sequence[TrainerCallback] = (),
) -> Fitted:
    """Train a model in place and leave it with its best weights.

    Args:
        recipe: what was asked for.
        job: the task's training side.
        model: of transformers, with the task's head.
        handler: the task's serving side, for the dev scores.
        rows: training rows.
        dev: dev examples.
        watchers: callbacks of transformers.
    """
    job.weigh(rows)
    optim, stopping = recipe.optim, recipe.early_stopping
    bf16 = optim.bf16 if optim.bf16 is not None else _bf16_is_fast()
    batches = LengthBatches(
        [len(row) for row in rows],
        max_rows=optim.batch_rows,
        max_tokens=optim.batch_tokens,
        seed=recipe.seed,
    )
    steps = max(1, round(len(batches) * optim.epochs / optim.accumulate))
    names = frozenset(inspect.signature(model.forward).parameters) & INPUTS
    items = job.items(dev)

    def scores(live: Any) -> Scores:
        pipeline = Pipeline(handler, LiveBackend(live, bf16=bf16, input_names=names))
        return job.score(dev, pipeline(items, EVALUATION_TOKENS))

    curves = Curves()
    callbacks: list[TrainerCallback] = [curves, *watchers]
    if stopping.patience is not None:
        callbacks.append(EarlyStoppingCallback(stopping.patience, stopping.min_gain))
    with tempfile.TemporaryDirectory(prefix="tuneserve-") as folder:
        trainer = _Trainer(
            job=job,
            batches=batches,
            scores=scores,
            smoothing=optim.label_smoothing,
            model=model,
            args=_arguments(recipe, job.metric, Path(folder), steps, bf16),
            train_dataset=list(rows),
            eval_dataset=list(dev),
            data_collator=partial(
                collate,
                pad_id=handler.tokenizer.pad_id,
                max_tokens=handler.tokenizer.max_tokens,
                per_token=job.per_token,
                token_types="token_type_ids" in names,
            ),
            callbacks=callbacks,
        )
        trainer.remove_callback(PrinterCallback)
        attention = model.config._attn_implementation
        if not torch.cuda.is_available():
            # On a CPU the backward pass of the fused kernel takes more than twice as long.
            model.set_attn_implementation("eager")
        with quiet_transformers():
            trainer.train()
        model.set_attn_implementation(attention)
    model.eval()
    return Fitted(curves.epochs, float(trainer.state.best_metric), trainer.state.global_step, bf16)


def _arguments(
    recipe: Recipe, metric: str, folder: Path, steps: int, bf16: bool
) -> TrainingArguments:
    optim = recipe.optim
    return TrainingArguments(
        output_dir=str(folder),
        use_cpu=not torch.cuda.is_available(),
        bf16=bf16,
        seed=recipe.seed,
        num_train_epochs=optim.epochs,
        per_device_train_batch_size=optim.batch_rows,
        gradient_accumulation_steps=optim.accumulate,
        learning_rate=optim.lr,
        warmup_steps=round(steps * optim.warmup_share),
        max_grad_norm=optim.max_grad_norm,
        eval_strategy="epoch",
        save_strategy="best",
        save_only_model=True,
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model=metric,
        greater_is_better=True,
        logging_steps=max(1, steps // LOGS_PER_RUN),
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )


def _bf16_is_fast() -> bool:
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    from model_store.backends.cpu import bf16_is_fast

    return bf16_is_fast()
