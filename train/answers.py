"""A checkpoint's answers to labelled examples, as the server would give them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from handlers.load import load_pipeline
from model_store.backends.base import BackendChoice
from model_store.manifest import Manifest
from model_store.version import ModelVersion
from train.artifacts import TORCH
from train.tasks.base import TrainTask


def answer(folder: Path, manifest: Manifest, job: TrainTask, examples: Sequence[Any]) -> list[Any]:
    """Ask the fp32 weights of a folder that is not published yet.

    Args:
        folder: weights and tokenizer.
        manifest: of the folder; its artifacts do not matter.
        job: the task, with its labels settled.
        examples: what to ask.

    Returns:
        One answer, or ``ServingError``, per example.

    Raises:
        CheckpointError: the folder cannot be loaded.
    """
    draft = manifest.model_copy(update={"artifacts": [TORCH]})
    choice = BackendChoice(backend="torch", precision="fp32", device="cpu")
    pipeline = load_pipeline(ModelVersion("draft", 0, folder, draft), choice)
    answers = pipeline(job.items(examples))
    pipeline.close()
    return list(answers)
