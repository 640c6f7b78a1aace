"""What watches a run: a progress bar, and the curves that the report shows."""

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback

from contracts.errors import CheckpointError


class Curves(TrainerCallback):  # type: ignore[misc]
    """Loss and dev scores per epoch."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []
        self._losses: list[float] = []
        self._started = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self._started = time.monotonic()

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


LINES_PER_RUN = 10
"""How often progress is told where there is no terminal to draw a bar on."""


class ProgressBar(TrainerCallback):  # type: ignore[misc]
    """Steps done, loss, the last dev score and the time left."""

    def __init__(self, console: Console, title: str, metric: str) -> None:
        self.metric = metric
        self.loss = self.score = ""
        self.title = title
        self.bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[loss]} {task.fields[score]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Show the bar."""
        self.task = self.bar.add_task(self.title, total=state.max_steps, loss="", score="")
        self.bar.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Move it."""
        step, steps = state.global_step, state.max_steps
        self.bar.update(self.task, completed=step, loss=self.loss, score=self.score)
        if not self.bar.console.is_terminal and step % max(1, steps // LINES_PER_RUN) == 0:
            line = f"{self.title}: step {step} of {steps} {self.loss} {self.score}"
            self.bar.console.print(line.rstrip(), highlight=False)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Show the loss."""
        if logs and "loss" in logs:
            self.loss = f"loss {float(logs['loss']):.3f}"

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any
    ) -> None:
        """Show the dev score."""
        self.score = f"{self.metric} {metrics[f'eval_{self.metric}']:.4f}"

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the bar away."""
        self.bar.stop()
