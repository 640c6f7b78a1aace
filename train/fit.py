"""Fine-tuning: the Hugging Face Trainer around a task's rows, loss and scores.

Three things of the Trainer are replaced: batches are grouped by length under a token budget, the
loss is the task's, and evaluation asks the server's own pipeline around the live model.
"""

import hashlib
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback, TrainingArguments

from train.base_model import quiet_transformers, seed_everything
from train.batches import LengthBatches
from train.callbacks import Callback, Run
from train.callbacks.choice import make_callbacks
from train.callbacks.curves import Curves
from train.callbacks.relay import Relay
from train.callbacks.stopping import EarlyStopping
from train.live import input_names
from train.processes import everyone
from train.recipe import Recipe
from train.rows import LabelledRow, collate
from train.snapshot import Snapshots
from train.tasks.base import Scores, TrainTask
from train.trainer import TaskTrainer

LOGS_PER_RUN = 50
"""How often the loss is read: each reading waits for the device."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What training gave."""

    curves: list[dict[str, float]]
    """Per epoch: ``epoch``, ``step``, ``seconds``, ``loss`` and the dev scores."""
    best: float
    """The best dev score, whose weights the model has now."""
    steps: int
    bf16: bool


def fit(
    recipe: Recipe,
    job: TrainTask,
    model: Any,
    handler: Any,
    rows: Sequence[LabelledRow],
    dev: Sequence[Any],
    watchers: Sequence[TrainerCallback] = (),
    callbacks: Sequence[Callback] = (),
    work: Path | None = None,
    resume: bool = False,
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
        callbacks: of ours, beside those that the recipe names and after them.
        work: a folder for snapshots, the same for every process; None: a temporary one, and no
            snapshots.
        resume: go on from the snapshot in ``work``, if there is one.

    Raises:
        CheckpointError: the snapshot is of other rows, or the loss is not a number.
    """
    job.weigh(rows)
    optim, stopping = recipe.optim, recipe.early_stopping
    bf16 = optim.bf16 if optim.bf16 is not None else _bf16_is_fast()
    batches = LengthBatches(
        [job.length(row) for row in rows],
        max_rows=optim.batch_rows,
        max_tokens=optim.batch_tokens,
        seed=recipe.seed,
    )
    steps = max(1, round(len(batches) * optim.epochs / optim.accumulate))
    names = input_names(model)
    watched = job.watched(dev)
    items = job.items(watched)

    def scores(live: Any) -> Scores:
        return job.score(watched, job.live_answers(live, handler, items, bf16=bf16))

    own = [*make_callbacks(recipe.callbacks, recipe.folder), *callbacks]
    if stopping.patience is not None:
        own.append(EarlyStopping(patience=stopping.patience, min_gain=stopping.min_gain))
    curves, relay = Curves(), Relay(own)
    with nullcontext(str(work)) if work else _temporary() as folder:
        snapshots = position = None
        if work is not None:
            snapshots = Snapshots(work, recipe.snapshot_every_s, _fingerprint(recipe, model, rows))
            position = snapshots.find() if resume else None
        trainer = TaskTrainer(
            job=job,
            batches=batches,
            scores=scores,
            smoothing=optim.label_smoothing,
            snapshots=snapshots,
            position=position,
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
                own_length=job.own_length,
            ),
            # A guard sees a bad loss before the curves do.
            callbacks=[*([snapshots] if snapshots else []), relay, curves, *watchers],
        )
        if snapshots is not None:
            snapshots.trainer, snapshots.relay, snapshots.curves = trainer, relay, curves
        trainer.remove_callback(PrinterCallback)
        relay.run = Run(trainer, recipe.model.freeze)
        attention = model.config._attn_implementation
        if not torch.cuda.is_available():
            # On a CPU the backward pass of the fused kernel takes more than twice as long.
            _set_attention(model, "eager")
        if everyone() > 1:  # each draws its own dropout
            seed_everything(recipe.seed + trainer.args.process_index)
        with quiet_transformers():
            trainer.train()
        _set_attention(model, attention)
    model.eval()
    return Fitted(curves.epochs, float(trainer.state.best_metric), trainer.state.global_step, bf16)


def _arguments(
    recipe: Recipe, metric: str, folder: Path, steps: int, bf16: bool
) -> TrainingArguments:
    optim = recipe.optim
    return TrainingArguments(
        output_dir=str(folder),
        use_cpu=not torch.cuda.is_available(),
        ddp_backend="gloo" if everyone() > 1 and not torch.cuda.is_available() else None,
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


def _set_attention(model: Any, name: str) -> None:
    """Of a model and of the two that it may be joined of, which transformers does not reach."""
    for one in (model, getattr(model, "encoder", None), getattr(model, "decoder", None)):
        if one is not None and hasattr(one, "set_attn_implementation"):
            one.set_attn_implementation(name)


def _temporary() -> Any:
    return tempfile.TemporaryDirectory(prefix="tuneserve-")


def _fingerprint(recipe: Recipe, model: Any, rows: Sequence[LabelledRow]) -> str:
    """Of what decides the weights at the end: recipe, weights at the beginning, rows."""
    found = hashlib.sha256(recipe.fit_sha256.encode())
    for value in model.state_dict().values():
        found.update(value.flatten()[:16].float().numpy().tobytes())
    for one in rows:
        found.update(repr((one.row.input_ids, one.targets)).encode())
    return found.hexdigest()


def _bf16_is_fast() -> bool:
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    from model_store.backends.cpu import bf16_is_fast

    return bf16_is_fast()
