"""What a run would do, told without doing it: ``--dry-run``."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from handlers.tokenization import TextTokenizer
from model_store.derive import derive_manifest
from train.base_model import save_tokenizer
from train.batches import LengthBatches
from train.card import describe
from train.recipe import Recipe
from train.recipe_model import Model
from train.scratch import base_checkpoint
from train.tasks import training_task
from train.tasks.base import TrainTask

BYTES_PER_WEIGHT = 16
"""Of AdamW in float32: the weight, its gradient and two moments."""


def plan(recipe: Recipe) -> dict[str, Any]:
    """The resolved recipe, what is in the data, how many steps they make, and what that takes.

    Rows are made as a run makes them, so steps are exact unless training stops early.

    Returns:
        ``recipe``, ``examples`` by part, ``notes`` (what is odd, counted), ``labels``, the data
        card (see ``train.card``), ``rows``,
        ``steps``, and ``memory_bytes``: an estimate of ``weights`` (with gradients and moments)
        and of the ``activations`` of the largest batch; Python and its libraries come on top.

    Raises:
        CheckpointError: data or base model are not usable.
    """
    from train.examples import read_examples

    job = training_task(recipe)
    examples = read_examples(recipe, job)
    optim = recipe.optim
    texts = job.vocabulary(examples.train)
    with (
        base_checkpoint(recipe.model, texts, recipe.seed) as base,
        tempfile.TemporaryDirectory() as name,
    ):
        folder = Path(name)
        save_tokenizer(base, folder)
        config, weights = _shape(base, job, folder)
        manifest = derive_manifest(folder, task=job.task)
        limit = min(recipe.model.max_tokens or manifest.max_tokens, manifest.max_tokens)
        handler = job.handler(manifest, TextTokenizer.load(folder, limit))
    rows = job.rows(examples.train, handler)
    batches = LengthBatches(
        [job.length(row) for row in rows],
        max_rows=optim.batch_rows,
        max_tokens=optim.batch_tokens,
        seed=recipe.seed,
    )
    sizes = [(len(batch), max(batches.padded[index] for index in batch)) for batch in batches]
    return {
        "recipe": recipe.portable(),
        "examples": examples.counts,
        "notes": {**examples.notes, **job.notes},
        "labels": job.label_counts(examples.train),
        **describe(job, examples.train, handler.tokenizer),
        "rows": len(rows),
        "steps": max(1, round(len(batches) * optim.epochs / optim.accumulate)),
        "memory_bytes": {
            "weights": weights * BYTES_PER_WEIGHT,
            "activations": activation_bytes(config, sizes),
        },
    }


def activation_bytes(config: Any, sizes: Sequence[tuple[int, int]]) -> int:
    """What the largest batch keeps for its backward pass, in float32.

    ``s b h (34 + 5 a s / h)`` bytes per layer in 16 bits (Korthikanti et al. 2022, eq. 1); in 32
    bits all but the dropout masks doubles: ``66 s b h + 9 a b s^2``.

    Args:
        config: of transformers; 0 for architectures that name their sizes in another way. Of an
            encoder and a decoder the encoder's is taken for both: they share the tokens.
        sizes: rows and padded tokens of each batch.
    """
    config = getattr(config, "encoder", config)
    layers = getattr(config, "num_hidden_layers", 0)
    width = getattr(config, "hidden_size", 0)
    heads = getattr(config, "num_attention_heads", 0)
    return max(
        (layers * rows * (66 * length * width + 9 * heads * length**2) for rows, length in sizes),
        default=0,
    )


def _shape(base: Model, job: TrainTask, folder: Path) -> tuple[Any, int]:
    """Configuration and number of weights, for which no weight is read; also put into a folder."""
    import torch
    from safetensors.numpy import save_file

    with torch.device("meta"):
        model = job.untrained(base)
    config = model.config
    config.architectures = [type(model).__name__]
    config.save_pretrained(folder)
    # A manifest is derived from a checkpoint; nobody reads the weights of this one.
    save_file({"none": np.zeros(1)}, folder / "model.safetensors")
    return config, sum(one.numel() for one in model.parameters())
