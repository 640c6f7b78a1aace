"""Thaws a model from the head down (ULMFiT, Howard and Ruder 2018)."""

from typing import Annotated

from pydantic import Field

from train.callbacks.base import Callback
from train.callbacks.run import Run


class GradualUnfreezing(Callback):
    """First the head alone; then ``layers`` encoder layers more every ``every`` epochs.

    Embeddings are thawed with the step after the first layer, unless ``embeddings`` is false; what
    ``model.freeze`` names stays frozen. Layers that share their weights (ALBERT) are refused.
    """

    def __init__(
        self,
        *,
        every: Annotated[int, Field(ge=1)] = 1,
        layers: Annotated[int, Field(ge=1)] = 1,
        embeddings: bool = True,
    ) -> None:
        self.every, self.layers, self.embeddings = every, layers, embeddings
        self._epoch = 0
        self._always: list[str] = []

    def on_train_begin(self, run: Run) -> None:
        """What the recipe freezes stays so."""
        self._always = run.frozen

    def on_epoch_begin(self, run: Run) -> None:
        """Thaw what is due."""
        due, self._epoch = self._epoch // self.every * self.layers, self._epoch + 1
        last = run.layers - 1 - due
        parts = [*self._always]
        parts += [f"encoder.0-{last}"] if last >= 0 else []
        if not self.embeddings or last >= 0 or due - run.layers < self.layers:
            parts.append("embeddings")
        if parts != run.frozen:
            run.frozen = parts
