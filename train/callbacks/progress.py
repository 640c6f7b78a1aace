"""What a person sees of a run while it goes on."""

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback

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
        self.bar.update(self.task, completed=step, total=steps, loss=self.loss, score=self.score)
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
