"""Keeps the weights of several moments of a run, where people can look at them."""

import shutil
from pathlib import Path
from typing import Annotated

from pydantic import Field

from train.callbacks.base import Callback
from train.callbacks.run import Run


class Checkpoints(Callback):
    """The last ``keep`` epochs as ``step-N`` and the best one as ``best``, in a folder.

    Each is a Hugging Face folder without a tokenizer; a folder is whole or not there.
    """

    everywhere = False

    def __init__(
        self, *, folder: Path, keep: Annotated[int, Field(ge=0)] = 3, best: bool = True
    ) -> None:
        self.folder, self.keep, self.best = folder, keep, best
        self._best = float("-inf")
        self._kept: list[Path] = []

    def on_evaluate(self, run: Run) -> None:
        """Write, then take away what is too old."""
        score = run.scores[run.metric]
        if self.best and score > self._best:
            self._best = score
            self._write(run, self.folder / "best")
        if self.keep:
            path = self.folder / f"step-{run.step}"
            self._write(run, path)
            self._kept.append(path)
            while len(self._kept) > self.keep:
                shutil.rmtree(self._kept.pop(0), ignore_errors=True)

    def _write(self, run: Run, path: Path) -> None:
        draft = path.with_name(f".{path.name}")
        shutil.rmtree(draft, ignore_errors=True)
        run.save_model(draft)
        shutil.rmtree(path, ignore_errors=True)
        draft.rename(path)
