"""Ends a run that no longer gets better."""

from typing import Annotated

from pydantic import Field

from train.callbacks.base import Callback
from train.callbacks.patience import Patience
from train.callbacks.run import Run


class EarlyStopping(Callback):
    """Stop after ``patience`` evaluations whose score is not above the best by ``min_gain``."""

    def __init__(
        self,
        *,
        patience: Annotated[int, Field(ge=1)] = 2,
        min_gain: Annotated[float, Field(ge=0)] = 0.0,
    ) -> None:
        self._patience = Patience(patience, min_gain)

    def on_evaluate(self, run: Run) -> None:
        """Compare with the best score so far."""
        if self._patience.over(run.scores[run.metric]):
            run.stop()
