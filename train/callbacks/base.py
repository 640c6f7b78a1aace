"""The callback seam: one class, with a method for each moment of a run."""

from typing import ClassVar

from train.callbacks.run import Run


class Callback:
    """Watches and steers a run; override the moments that matter.

    A recipe's arguments are the keyword arguments of ``__init__``, checked against its annotations.
    Callbacks are called in the recipe's order.
    """

    requires: ClassVar[str | None] = None
    """A module that must be installed; also the name of the project's extra that brings it."""

    def on_train_begin(self, run: Run) -> None:
        """Before the first step."""

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
