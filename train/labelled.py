"""Labelled data for a version that is there already: read as its training would have read them."""

from pathlib import Path
from typing import Any

from contracts.errors import CheckpointError
from model_store.manifest import Manifest
from train.recipe import Gates, Recipe
from train.tasks import training_task
from train.tasks.base import TrainTask
from train.unlabelled import UNLABELLED


def recipe_for(
    name: str, manifest: Manifest, path: Path, settings: dict[str, Any], gates: Gates | None = None
) -> Recipe:
    """A recipe that reads a file with the labels of a version.

    Args:
        name: of the model.
        manifest: of the version.
        path: the file.
        settings: the ``data`` section of a recipe: format, columns.
        gates: limits; default: those of a recipe.

    Raises:
        CheckpointError: the version's task is served and not trained here.
    """
    if manifest.task in UNLABELLED:
        raise CheckpointError(
            f"{name} does {manifest.task}, for which no data are labelled here, so that there is "
            "nothing to score it by."
        )
    model = {
        "name": name,
        "task": manifest.task,
        "kind": manifest.task if manifest.generates else None,
        "labels": manifest.labels or None,
        "problem_type": manifest.problem_type,
    }
    data = {**settings, "train": path}
    if path.suffix == ".txt":
        data["format"] = "csv"  # not read by the task's reader
    return Recipe.model_validate({"model": model, "data": data, "gates": gates or Gates()})


def read_held_out(
    name: str, manifest: Manifest, path: Path, settings: dict[str, Any], gates: Gates | None = None
) -> tuple[TrainTask, list[Any]]:
    """All examples of a file that a version did not see, with the task that scores answers to them.

    Raises:
        CheckpointError: there is no such file, or it is not labelled as the version's task needs.
    """
    if not path.is_file():
        raise CheckpointError(f"--data: there is no file {path}.")
    if path.suffix == ".txt":
        raise CheckpointError(f"--data {path}: labelled data are needed, as in training.")
    job = training_task(recipe_for(name, manifest, path, settings, gates))
    examples = job.read(path)
    job.learn_labels(examples)
    job.check(examples)
    return job, examples
