"""Rules that change the learning rate while a run goes on; most go with a constant schedule."""

from typing import Annotated, Literal

from pydantic import Field

from train.callbacks.base import Callback
from train.callbacks.patience import Patience
from train.callbacks.run import Run

Share = Annotated[float, Field(gt=0, lt=1)]
Moment = Literal["epoch", "step"]


class StepRate(Callback):
    """The rate times ``factor``, every so many epochs or steps."""

    def __init__(
        self, *, factor: Share = 0.5, every: Annotated[int, Field(ge=1)] = 1, per: Moment = "epoch"
    ) -> None:
        self.factor, self.every, self.per = factor, every, per
        self._count = 0

    def on_step_end(self, run: Run) -> None:
        """Count steps."""
        if self.per == "step":
            self._tick(run)

    def on_epoch_end(self, run: Run) -> None:
        """Count epochs."""
        if self.per == "epoch":
            self._tick(run)

    def _tick(self, run: Run) -> None:
        self._count += 1
        if self._count % self.every == 0:
            run.scale_lr(self.factor)


class DecayRate(Callback):
    """``lr_{t+1} = lr_t * (1 - alpha * decay(epoch))`` after every epoch or step.

    ``decay`` is 1 (``constant``), ``1 - epoch / epochs`` (``linear``), ``1 / (1 + epoch)``
    (``inverse``) or ``gamma ** epoch`` (``exponential``); ``epoch`` counts those done, from 0.
    """

    def __init__(
        self,
        *,
        alpha: Share = 0.1,
        decay: Literal["constant", "linear", "inverse", "exponential"] = "constant",
        gamma: Share = 0.9,
        per: Moment = "epoch",
    ) -> None:
        self.alpha, self.decay, self.gamma, self.per = alpha, decay, gamma, per
        self._epoch = 0

    def on_step_end(self, run: Run) -> None:
        """The next step's rate."""
        if self.per == "step":
            run.scale_lr(self.factor(self._epoch, run.epochs))

    def on_epoch_end(self, run: Run) -> None:
        """The next epoch's rate."""
        if self.per == "epoch":
            run.scale_lr(self.factor(self._epoch, run.epochs))
        self._epoch += 1

    def factor(self, epoch: int, epochs: float) -> float:
        """What the rate is multiplied by."""
        size = {
            "constant": 1.0,
            "linear": max(0.0, 1 - epoch / epochs),
            "inverse": 1 / (1 + epoch),
            "exponential": self.gamma**epoch,
        }[self.decay]
        return 1 - self.alpha * size


class ReduceOnPlateau(Callback):
    """The rate times ``factor`` after ``patience`` evaluations without a better dev score."""

    def __init__(
        self,
        *,
        factor: Share = 0.5,
        patience: Annotated[int, Field(ge=1)] = 1,
        min_gain: Annotated[float, Field(ge=0)] = 0.0,
        min_lr: Annotated[float, Field(ge=0)] = 0.0,
    ) -> None:
        self.factor, self.min_lr = factor, min_lr
        self._patience = Patience(patience, min_gain)

    def on_evaluate(self, run: Run) -> None:
        """Compare with the best score so far."""
        if self._patience.over(run.scores[run.metric]) and run.lr > self.min_lr:
            run.scale_lr(max(self.factor, self.min_lr / run.lr))
