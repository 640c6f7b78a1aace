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
    an evaluation the dev scores. The file is whole after each record. Each run begins it anew; one
    that is resumed goes on after the records that its snapshot knows.
    """

    everywhere = False

    def __init__(self, *, path: Path) -> None:
        if path.suffix not in (".jsonl", ".csv"):
            raise CheckpointError(f"metric_log: path must end in .jsonl or .csv, not {path.name}.")
        self.path = path
        self._records: list[dict[str, float]] = []

    def on_train_begin(self, run: Run) -> None:
        """Begin the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("")

    def on_resume(self, run: Run) -> None:
        """Take away what came after the snapshot."""
        self._write_all()

    def on_log(self, run: Run) -> None:
        """One record."""
        self._write(run, {"loss": run.loss})

    def on_evaluate(self, run: Run) -> None:
        """One record."""
        self._write(run, run.scores)

    def _write(self, run: Run, values: dict[str, float]) -> None:
        record = {"step": run.step, "epoch": run.epoch, "seconds": run.seconds, "lr": run.lr}
        self._records.append(record | values)
        self._write_all()

    def _write_all(self) -> None:
        """The few records, all of them: in CSV a new score makes a new column."""
        if self.path.suffix == ".jsonl":
            self.path.write_text("".join(json.dumps(one) + "\n" for one in self._records))
            return
        columns = list(dict.fromkeys(name for one in self._records for name in one))
        with self.path.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self._records)
