"""The curves that the report shows."""

import time
from typing import Any

from transformers import TrainerCallback

from contracts.errors import CheckpointError


class Curves(TrainerCallback):  # type: ignore[misc]
    """Loss and dev scores per epoch; the clock starts when it is made."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []
        self._losses: list[float] = []
        self._started = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """Plain data, for a snapshot."""
        seconds = time.monotonic() - self._started
        return {"epochs": self.epochs, "losses": self._losses, "seconds": seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from it."""
        self.epochs, self._losses = state["epochs"], state["losses"]
        self._started = time.monotonic() - state["seconds"]

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Collect training losses; a loss that is no number ends the run."""
        if logs and "loss" in logs:
            loss = float(logs["loss"])
            if loss != loss:
                raise CheckpointError(
                    f"The loss is not a number after step {state.global_step}; lower optim.lr."
                )
            self._losses.append(loss)

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any
    ) -> None:
        """Close an epoch."""
        losses, self._losses = self._losses, []
        epoch = {
            "epoch": round(float(state.epoch), 4),
            "step": float(state.global_step),
            "seconds": round(time.monotonic() - self._started, 2),
        }
        if losses:
            epoch["loss"] = sum(losses) / len(losses)
        epoch |= {name.removeprefix("eval_"): float(value) for name, value in metrics.items()}
        self.epochs.append(epoch)
