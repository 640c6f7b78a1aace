"""Several recipes at once, each in a process of its own with its share of the cores.

Two fits with one thread each get through 1.3 to 1.9 times the tokens of one fit with two threads:
the steps of a small model are many short kernels, and threads wait for each other at each.
"""

import multiprocessing as mp
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from rich.console import Console

from contracts.errors import CheckpointError
from contracts.extras import require
from model_store.store import Store
from model_store.version import ModelVersion
from train.processes import everyone
from train.recipe import Recipe


def train_all(
    recipes: Sequence[Recipe],
    store: Store,
    *,
    command: str,
    console: Console,
    jobs: int,
    events: bool = False,
    resume: bool = False,
) -> Iterator[ModelVersion]:
    """Train every recipe, at most ``jobs`` at a time; yields each version when it is published.

    When one fails, those that run are finished and published, and the rest is not begun.

    Raises:
        CheckpointError: of the first recipe that failed; a package is missing; or several recipes
            under ``torchrun``, whose processes all help with one.
    """
    require("torch", "transformers", "accelerate", extra="train")
    if everyone() > 1 and len(recipes) > 1:
        raise CheckpointError("torchrun trains one recipe at a time; name one.")
    if jobs == 1 or len(recipes) == 1:
        from train.run import train

        for recipe in recipes:
            version = train(
                recipe, store, command=command, console=console, events=events, resume=resume
            )
            if version is not None:
                yield version
        return
    jobs = min(jobs, len(recipes))
    turns = mp.get_context("spawn").Queue()
    for job in range(jobs):
        turns.put(job)
    with ProcessPoolExecutor(
        jobs, mp.get_context("spawn"), initializer=_take_share, initargs=(turns, jobs)
    ) as pool:
        running = [
            pool.submit(_train_one, recipe, store.root, command, console.quiet, events, resume)
            for recipe in recipes
        ]
        try:
            for done in as_completed(running):
                version = done.result()
                if version is not None:
                    yield version
        except BrokenProcessPool:
            raise CheckpointError(
                "A training process was killed, most often for want of memory: use fewer --jobs."
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _train_one(
    recipe: Recipe, store: Path, command: str, quiet: bool, events: bool, resume: bool
) -> ModelVersion | None:
    """The child: lines instead of bars, since several share the terminal."""
    from train.run import train

    console = Console(stderr=True, quiet=quiet, force_terminal=False)
    return train(
        recipe, Store(store), command=command, console=console, events=events, resume=resume
    )


def _take_share(turns: "mp.Queue[int]", jobs: int) -> None:
    """Keep a process, and every thread pool that it will start, to its own cores."""
    job = turns.get()
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    share = max(1, len(cores) // jobs)
    first = job * share % len(cores)
    os.sched_setaffinity(0, cores[first : first + share])
