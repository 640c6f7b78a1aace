"""The labelled examples of a run: read, split, checked, and counted where they are odd."""

from dataclasses import dataclass, field
from typing import Any

from contracts.errors import CheckpointError
from train.artifacts import sample
from train.data.files import check_sha256
from train.data.oddities import count_oddities
from train.data.split import split_dev
from train.recipe import Recipe
from train.tasks.base import TrainTask


@dataclass(slots=True)
class Examples:
    """The three parts of the data."""

    train: list[Any]
    dev: list[Any]
    test: list[Any]
    notes: dict[str, int] = field(default_factory=dict)
    """What is odd about them, counted: texts in two parts, rare labels, repaired tags."""

    @property
    def counts(self) -> dict[str, int]:
        """Examples by part."""
        return {"train": len(self.train), "dev": len(self.dev), "test": len(self.test)}


def read_examples(recipe: Recipe, job: TrainTask) -> Examples:
    """Read, split and check the data; afterwards ``job.labels`` are settled.

    Raises:
        CheckpointError: the data are wrong; the sentence names file and line.
    """
    data = recipe.data
    for name, sha256 in data.sha256.items():
        path = getattr(data, name)
        if path is not None:
            check_sha256(path, sha256)
    train = job.read(data.train)[: data.max_train]
    job.learn_labels(train)
    if data.dev is not None:
        dev = job.read(data.dev)
    else:
        train, dev = split_dev(train, data.dev_share, recipe.seed, job.stratum)
    test = job.read(data.test) if data.test is not None else []
    for part in (train, dev, test):
        job.check(part)
    if not train or not dev:
        raise CheckpointError(f"{data.train} has too few examples to train and to develop on.")
    parts = {"train": train, "dev": dev, "test": test}
    odd = count_oddities(parts, job.identity, job.label_counts(train))
    return Examples(train, dev, test, {**job.notes, **odd})


def judges(recipe: Recipe, examples: Examples) -> list[Any]:
    """The examples that a version is judged by: the test set, or dev where there is none."""
    return examples.test or measured_dev(recipe, examples)


def measured_dev(recipe: Recipe, examples: Examples) -> list[Any]:
    """The dev examples that artifacts are measured on."""
    return sample(examples.dev, recipe.gates.dev_items, recipe.seed)
