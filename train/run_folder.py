"""Where an interrupted run is found: ``<store>/.runs/<model>-<hash of what decides the fit>``.

It holds the last snapshot and the best weights so far, until the version is published.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from contracts.errors import CheckpointError
from train.processes import is_first
from train.recipe import Recipe

RUNS_NAME = ".runs"
STATE_NAME = "state.pt"
"""The snapshot in a run's folder."""


@contextmanager
def run_folder(store: Path, recipe: Recipe, *, resume: bool, console: Console) -> Iterator[Path]:
    """The folder of a recipe's run; deleted at the end, unless an error leaves this context.

    Args:
        store: root of the store.
        recipe: what is trained.
        resume: the run is to go on, where there was one.
        console: is told what happens to an interrupted run.

    Raises:
        CheckpointError: another process trains the same recipe now.
    """
    name = f"{recipe.model.name}-{recipe.fit_sha256[:12]}"
    folder = store / RUNS_NAME / name
    folder.mkdir(parents=True, exist_ok=True)
    if not is_first():
        yield folder
        return
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CheckpointError(
                f"{recipe.model.name} is being trained with this recipe by another process; "
                "wait for it, or end it."
            ) from None
        console.print(_told(recipe.model.name, (folder / STATE_NAME).exists(), resume), end="")
        yield folder
        shutil.rmtree(folder)
    finally:
        os.close(descriptor)


def _told(name: str, interrupted: bool, resume: bool) -> str:
    if interrupted and resume:
        return f"{name}: going on with the interrupted run\n"
    if interrupted:
        return f"{name}: beginning again; --resume would go on with the interrupted run\n"
    return f"{name}: no interrupted run, beginning at the beginning\n" if resume else ""
