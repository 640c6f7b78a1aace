"""Datasets by hub id, ``hub:owner/name:split``, read through ``datasets``.

The name may also be a folder in the hub's layout. Code that a dataset brings is never run.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contracts.errors import CheckpointError, first_line

PREFIX = "hub:"
SPLITS = {"train": "train", "dev": "validation", "test": "test"}
"""The split that a part of the data takes where the recipe names none."""


def is_hub(source: Path) -> bool:
    """Whether this is a hub id and no file."""
    return str(source).startswith(PREFIX)


def resolve_hub(source: Path, part: str, root: Path) -> Path:
    """The id with its split, and with a whole path where it is a folder.

    Args:
        source: as in the recipe.
        part: ``train``, ``dev`` or ``test``.
        root: what a folder is relative to.
    """
    name, _, split = str(source).removeprefix(PREFIX).partition(":")
    if (root / name).is_dir():
        name = str((root / name).resolve())
    return Path(f"{PREFIX}{name}:{split or SPLITS[part]}")


def portable_hub(source: Path) -> str:
    """The id as the same string on any machine: a folder by its name."""
    name, _, split = str(source).removeprefix(PREFIX).partition(":")
    return f"{PREFIX}{Path(name).name if Path(name).is_absolute() else name}:{split}"


def read_hub(source: Path, subset: str | None, revision: str | None) -> Iterator[dict[str, Any]]:
    """Rows of one split, in its order, class indices as their names.

    Args:
        source: from ``resolve_hub``.
        subset: the dataset's configuration; None: its only or default one.
        revision: commit, tag or branch; None: the newest.

    Raises:
        CheckpointError: no such dataset, subset or split, or it cannot be reached.
    """
    import datasets

    name, _, split = str(source).removeprefix(PREFIX).partition(":")
    datasets.disable_progress_bars()
    try:
        found = datasets.load_dataset(name, subset, split=split, revision=revision)
    except (datasets.exceptions.DatasetsError, OSError, ValueError) as error:
        reason = first_line(error)
        raise CheckpointError(f"{source} cannot be loaded: {reason}") from None
    yield from named_rows(found)


def read_parquet(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a Parquet file, class indices as their names where ``datasets`` wrote it.

    Raises:
        CheckpointError: the file is not Parquet.
    """
    import pyarrow
    import pyarrow.parquet
    from datasets import Dataset

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        reason = first_line(error)
        raise CheckpointError(f"{path} cannot be read as Parquet: {reason}") from None
    yield from named_rows(Dataset(table))


def named_rows(dataset: Any) -> Iterator[dict[str, Any]]:
    """Rows with the names of class labels in the place of their numbers; -1 is None."""
    classes = {}
    for column, feature in dataset.features.items():
        inner = getattr(feature, "feature", feature)
        if hasattr(inner, "int2str"):
            classes[column] = inner
    for row in dataset:
        for column, feature in classes.items():
            value = row[column]
            if isinstance(value, list):
                row[column] = [_name(feature, one) for one in value]
            else:
                row[column] = _name(feature, value)
        yield row


def _name(feature: Any, value: int | None) -> str | None:
    return None if value is None or value < 0 else str(feature.int2str(value))
