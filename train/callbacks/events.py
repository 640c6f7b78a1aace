"""What a program sees of a run while it goes on: an event for each loss and each evaluation."""

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback


class Events(TrainerCallback):  # type: ignore[misc]
    """Hands losses, with their rate, and dev scores to ``tell(event, **values)``."""

    def __init__(self, tell: Callable[..., None]) -> None:
        self.tell = tell

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """A loss."""
        if logs and "loss" in logs:
            loss, lr = float(logs["loss"]), float(logs["learning_rate"])
            self.tell("loss", **_place(state), loss=loss, lr=lr)

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any
    ) -> None:
        """Dev scores."""
        scores = {name.removeprefix("eval_"): float(value) for name, value in metrics.items()}
        self.tell("evaluation", **_place(state), scores=scores)


def _place(state: Any) -> dict[str, Any]:
    return {"step": state.global_step, "steps": state.max_steps, "epoch": round(state.epoch, 4)}
