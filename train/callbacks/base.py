"""The callback seam: one class, with a method for each moment of a run."""

from pathlib import Path
from typing import Any, ClassVar

from train.callbacks.patience import Patience
from train.callbacks.run import Run

PLAIN = (type(None), bool, int, float, str, Path, Patience)
"""What a resumed run finds again, also in lists, tuples, sets and dictionaries."""


class Callback:
    """Watches and steers a run; override the moments that matter.

    A recipe's arguments are the keyword arguments of ``__init__``, checked against its annotations.
    Callbacks are called in the recipe's order.
    """

    requires: ClassVar[str | None] = None
    """A module that must be installed; also the name of the project's extra that brings it."""

    everywhere: ClassVar[bool] = True
    """Whether every process of a run on several (torchrun) calls it; False for those that write."""

    def on_train_begin(self, run: Run) -> None:
        """Before the first step."""

    def on_resume(self, run: Run) -> None:
        """In place of ``on_train_begin``, where a run goes on that was interrupted.

        ``run`` is as it was then, and so are the attributes that ``state_dict`` names.
        """

    def on_epoch_begin(self, run: Run) -> None:
        """Before the batches of an epoch are drawn."""

    def on_step_end(self, run: Run) -> None:
        """After a step of the optimiser; ``run.lr`` is the rate of the next one."""

    def on_log(self, run: Run) -> None:
        """``run.loss`` is new: about fifty times a run."""

    def on_epoch_end(self, run: Run) -> None:
        """After the last step of an epoch, before its dev scores."""

    def on_evaluate(self, run: Run) -> None:
        """``run.scores`` are new."""

    def on_save(self, run: Run) -> None:
        """``run.saved`` is new: these are the best weights so far."""

    def on_train_end(self, run: Run) -> None:
        """After the last step; the model has its best weights again."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must find again: by default every attribute that is plain data."""
        return {name: value for name, value in vars(self).items() if _is_plain(value)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what ``state_dict`` gave."""
        vars(self).update(state)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple | set):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    return isinstance(value, PLAIN)
