"""Other people's pages for losses and scores. Each package is an extra of the project."""

from pathlib import Path
from typing import Any, Literal

from train.callbacks.base import Callback
from train.callbacks.run import Run


class Tracker(Callback):
    """Sends each loss with its rate, and each evaluation's scores, by step."""

    def on_log(self, run: Run) -> None:
        """Loss and rate."""
        self.send({"train/loss": run.loss, "train/lr": run.lr}, run.step)

    def on_evaluate(self, run: Run) -> None:
        """Dev scores."""
        self.send({f"dev/{name}": value for name, value in run.scores.items()}, run.step)

    def send(self, values: dict[str, float], step: int) -> None:
        """To wherever the tracker keeps them."""
        raise NotImplementedError


class TensorBoard(Tracker):
    """Event files for ``tensorboard --logdir FOLDER``."""

    requires = "tensorboard"

    def __init__(self, *, folder: Path) -> None:
        self.folder = folder
        self._writer: Any = None

    def on_train_begin(self, run: Run) -> None:
        """Open the file."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(self.folder))

    def send(self, values: dict[str, float], step: int) -> None:
        """Scalars."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def on_train_end(self, run: Run) -> None:
        """Close the file."""
        self._writer.close()


class WeightsAndBiases(Tracker):
    """A run of Weights & Biases; ``mode = "offline"`` keeps it in ``folder``."""

    requires = "wandb"

    def __init__(
        self,
        *,
        project: str = "tuneserve",
        folder: Path | None = None,
        mode: Literal["online", "offline"] = "online",
    ) -> None:
        self.project, self.folder, self.mode = project, folder, mode
        self._run: Any = None

    def on_train_begin(self, run: Run) -> None:
        """Open the run."""
        import wandb

        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=self.project,
            name=run.name,
            dir=None if self.folder is None else str(self.folder),
            mode=self.mode,
        )

    def send(self, values: dict[str, float], step: int) -> None:
        """One record."""
        self._run.log(values, step=step)

    def on_train_end(self, run: Run) -> None:
        """Close the run."""
        self._run.finish()


class MLflow(Tracker):
    """A run of MLflow; ``uri`` may be a server, or ``sqlite:///FILE`` for no server at all."""

    requires = "mlflow"

    def __init__(self, *, uri: str | None = None, experiment: str = "tuneserve") -> None:
        self.uri, self.experiment = uri, experiment

    def on_train_begin(self, run: Run) -> None:
        """Open the run."""
        import mlflow

        if self.uri is not None:
            mlflow.set_tracking_uri(self.uri)
        mlflow.set_experiment(self.experiment)
        mlflow.start_run(run_name=run.name)

    def send(self, values: dict[str, float], step: int) -> None:
        """Metrics."""
        import mlflow

        mlflow.log_metrics(values, step=step)

    def on_train_end(self, run: Run) -> None:
        """Close the run."""
        import mlflow

        mlflow.end_run()
