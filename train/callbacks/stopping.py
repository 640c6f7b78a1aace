"""Ends a run that no longer gets better."""

from typing import Annotated

from pydantic import Field

from train.callbacks.base import Callback
from train.callbacks.run import Run


class EarlyStopping(Callback):
    """Stop after ``patience`` evaluations whose score is not above the best by ``min_gain``."""

    def __init__(
        self,
        *,
        patience: Annotated[int, Field(ge=1)] = 2,
        min_gain: Annotated[float, Field(ge=0)] = 0.0,
    ) -> None:
        self.patience, self.min_gain = patience, min_gain
        self._best = float("-inf")
        self._waited = 0

    def on_evaluate(self, run: Run) -> None:
        """Compare with the best score so far."""
        score = run.scores[run.metric]
        if score > self._best + self.min_gain:
            self._best, self._waited = score, 0
        else:
            self._waited += 1
            if self._waited >= self.patience:
                run.stop()
