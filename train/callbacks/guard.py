"""Brings a run back that diverged."""

import math
from typing import Annotated

from pydantic import Field

from contracts.errors import CheckpointError
from train.callbacks.base import Callback
from train.callbacks.run import Run

GOOD = 2.0
"""How many times the least loss is still a good one: losses of single epochs differ less."""


class BadLossGuard(Callback):
    """After a bad loss: back to the last good weights and optimiser state, at ``factor`` the rate.

    A loss is bad if it is no finite number, or above ``max_rise`` times the first one. Weights are
    kept before the first step, and after an evaluation if they are good: the mean loss since the
    one before is at most ``GOOD`` times the least so far, since what diverges is finite at first.
    After ``attempts`` returns the run ends with an error.
    """

    def __init__(
        self,
        *,
        factor: Annotated[float, Field(gt=0, lt=1)] = 0.5,
        attempts: Annotated[int, Field(ge=1)] = 5,
        max_rise: Annotated[float, Field(gt=1)] = 100.0,
    ) -> None:
        self.factor, self.attempts, self.max_rise = factor, attempts, max_rise
        self._limit = math.inf
        self._least = math.inf
        self._losses: list[float] = []
        self.returns: list[int] = []
        """The steps after which the run went back."""

    def on_train_begin(self, run: Run) -> None:
        """Keep the weights that training begins with."""
        self._file = run.folder / "good.pt"
        run.keep(self._file)

    def on_step_end(self, run: Run) -> None:
        """Look at the loss."""
        loss = run.step_loss
        if math.isfinite(loss) and loss <= self._limit:
            self._losses.append(loss)
            if self._least == math.inf:
                self._least, self._limit = loss, loss * self.max_rise
            return
        if len(self.returns) == self.attempts:
            raise CheckpointError(
                f"The loss was bad after step {run.step} again, after {self.attempts} returns to "
                "good weights; lower optim.lr."
            )
        self.returns.append(run.step)
        self._losses = []
        run.restore(self._file)
        run.scale_lr(self.factor)

    def on_evaluate(self, run: Run) -> None:
        """Keep the weights if they are good."""
        losses, self._losses = self._losses, []
        mean = sum(losses) / len(losses) if losses else math.inf
        if mean <= GOOD * self._least:
            self._least = min(self._least, mean)
            run.keep(self._file)
