"""Losses and scores in a file, for other programs."""

import csv
import json
from pathlib import Path

from contracts.errors import CheckpointError
from train.callbacks.base import Callback
from train.callbacks.run import Run


class MetricLog(Callback):
    """A record per loss and per evaluation, as JSON lines (``.jsonl``) or CSV (``.csv``).

    Every record has ``step``, ``epoch``, ``seconds`` and ``lr``; one of a loss has ``loss``, one of
    an evaluation the dev scores. The file is begun anew by each run and whole after each record.
    """

    def __init__(self, *, path: Path) -> None:
        if path.suffix not in (".jsonl", ".csv"):
            raise CheckpointError(f"metric_log: path must end in .jsonl or .csv, not {path.name}.")
        self.path = path
        self._records: list[dict[str, float]] = []

    def on_train_begin(self, run: Run) -> None:
        """Begin the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("")

    def on_log(self, run: Run) -> None:
        """One record."""
        self._write(run, {"loss": run.loss})

    def on_evaluate(self, run: Run) -> None:
        """One record."""
        self._write(run, run.scores)

    def _write(self, run: Run, values: dict[str, float]) -> None:
        record = {"step": run.step, "epoch": run.epoch, "seconds": run.seconds, "lr": run.lr}
        record |= values
        if self.path.suffix == ".jsonl":
            with self.path.open("a") as file:
                file.write(json.dumps(record) + "\n")
            return
        # A new score makes a new column: the few records are written again.
        self._records.append(record)
        columns = list(dict.fromkeys(name for one in self._records for name in one))
        with self.path.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self._records)
