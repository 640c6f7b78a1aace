"""Other people's pages for losses and scores. Each package is an extra of the project.

Each training is a run of its own there, also after one that broke off in the same process, and
where the user has a run open: nothing is kept in the packages' global state.
"""

import os
import time
from itertools import count
from pathlib import Path
from typing import Any, Literal

from train.callbacks.base import Callback
from train.callbacks.run import Run


class Tracker(Callback):
    """Sends each loss with its rate, and each evaluation's scores, by step."""

    everywhere = False

    def on_train_begin(self, run: Run) -> None:
        """Begin a record."""
        self.open(run, resumed=False)

    def on_resume(self, run: Run) -> None:
        """Go on with the record that the interrupted run began."""
        self.open(run, resumed=True)

    def open(self, run: Run, *, resumed: bool) -> None:
        """Where ``send`` shall write to."""
        raise NotImplementedError

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
    """Event files for ``tensorboard --logdir FOLDER``: in it, a folder per run."""

    requires = "tensorboard"

    def __init__(self, *, folder: Path) -> None:
        self.folder = folder
        self._writer: Any = None
        self._mine: Path | None = None

    def open(self, run: Run, *, resumed: bool) -> None:
        """A file in ``NAME-1`` or what comes after the runs that are there.

        One that goes on adds a file; what was written after its snapshot is not shown.
        """
        from torch.utils.tensorboard import SummaryWriter

        if self._mine is None or not resumed:
            self._mine = self._make_folder(run.name)
        self._writer = SummaryWriter(str(self._mine), purge_step=run.step + 1 if resumed else None)

    def send(self, values: dict[str, float], step: int) -> None:
        """Scalars."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def on_train_end(self, run: Run) -> None:
        """Close the file."""
        self._writer.close()

    def _make_folder(self, name: str) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            mine = self.folder / f"{name}-{number}"
            try:
                mine.mkdir()
            except FileExistsError:
                continue
            return mine
        raise AssertionError("numbers do not end")


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
        self._id: str | None = None

    def open(self, run: Run, *, resumed: bool) -> None:
        """A run, or the same one again."""
        import wandb

        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=self.project,
            name=run.name,
            dir=None if self.folder is None else str(self.folder),
            mode=self.mode,
            reinit="create_new",
            id=self._id,
            resume="allow" if resumed else None,
        )
        self._id = self._run.id

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
        self._client: Any = None
        self._run_id: str | None = None

    def open(self, run: Run, *, resumed: bool) -> None:
        """A run, or the same one again."""
        # MLflow tells its makers how it is used; nobody asked for that who names a file.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient

        self._client = MlflowClient(self.uri)
        if self._run_id is None or not resumed:
            made = self._client.create_run(self._experiment_id(), run_name=run.name)
            self._run_id = made.info.run_id

    def send(self, values: dict[str, float], step: int) -> None:
        """Metrics."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value in values.items()]
        self._client.log_batch(self._run_id, metrics=metrics)

    def on_train_end(self, run: Run) -> None:
        """Close the run."""
        self._client.set_terminated(self._run_id)

    def _experiment_id(self) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(self.experiment)
        if found is None:
            try:
                return str(self._client.create_experiment(self.experiment))
            except MlflowException:  # another run made it in between
                found = self._client.get_experiment_by_name(self.experiment)
                if found is None:
                    raise
        return str(found.experiment_id)
