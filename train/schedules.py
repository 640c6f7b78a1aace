"""How the learning rate goes from the first step to the last: a factor per step.

Warm-up is a straight line from 0. The formulas are those of ``transformers.optimization``.
"""

import math
from dataclasses import dataclass

from train.recipe import Optim


@dataclass
class Schedule:
    """The factor by which the peak rate is multiplied; callable, as torch's ``LambdaLR`` wants.

    Steps are counted as planned at the start. When the number of steps that are left changes
    (another batch size), ``replan`` lets the rest of the curve take that many, without a jump.
    """

    optim: Optim
    steps: int
    """Of the whole run, as planned."""
    warmup: int
    """Of these, the first."""
    origin: int = 0
    begun: float = 0.0
    pace: float = 1.0

    def __call__(self, step: int) -> float:
        """The factor of the step with this number, from 0."""
        at = self.planned(step)
        if at < self.warmup:
            return at / max(1, self.warmup)
        optim = self.optim
        if optim.schedule == "constant_with_warmup":
            return 1.0
        if optim.schedule == "step":
            epoch = at * optim.epochs / max(1, self.steps)
            # A hair more, so that the last step of an epoch is not taken for the one before.
            return float(optim.step_factor ** math.floor(epoch / optim.step_epochs + 1e-9))
        left = max(0.0, (self.steps - at) / max(1, self.steps - self.warmup))
        if optim.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * (1 - left)))
        if optim.schedule == "polynomial":
            return float(left**optim.power)
        return left

    def planned(self, step: int) -> float:
        """Which of the planned steps a step stands for."""
        return self.begun + (step - self.origin) * self.pace

    def replan(self, step: int, left: int) -> None:
        """From this step on, reach the end of the curve in so many steps."""
        self.begun, self.origin = self.planned(step), step
        self.pace = max(0.0, self.steps - self.begun) / max(1, left)
