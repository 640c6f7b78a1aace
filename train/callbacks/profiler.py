"""Where a run's time and memory go."""

import json
import sys
import time
from pathlib import Path

from train.callbacks.base import Callback
from train.callbacks.run import Run


class Profiler(Callback):
    """A JSON file with seconds per step (mean, median, 90%), per epoch, and peak memory.

    The first step is left out of the step times: kernels are prepared in it. Memory is the
    process's resident peak since it began, and the device's since training began.
    """

    everywhere = False

    def __init__(self, *, path: Path) -> None:
        self.path = path
        self._steps_s: list[float] = []
        self._epochs: list[dict[str, float]] = []
        self._last = self._begun = 0.0

    def on_resume(self, run: Run) -> None:
        """Other clocks: those of the process before are gone."""
        self._last = self._begun = time.perf_counter()

    def on_epoch_begin(self, run: Run) -> None:
        """Start the clocks."""
        self._last = self._begun = time.perf_counter()

    def on_step_end(self, run: Run) -> None:
        """One lap."""
        now = time.perf_counter()
        self._steps_s.append(now - self._last)
        self._last = now

    def on_epoch_end(self, run: Run) -> None:
        """Training is over, evaluation begins."""
        self._last = time.perf_counter()
        self._epochs.append({"train_s": self._last - self._begun})

    def on_evaluate(self, run: Run) -> None:
        """The epoch is over."""
        if self._epochs:
            self._epochs[-1]["evaluate_s"] = time.perf_counter() - self._last

    def on_train_end(self, run: Run) -> None:
        """Write the file."""
        import torch

        steps = sorted(self._steps_s[1:] or self._steps_s)
        found = {
            "steps": len(self._steps_s),
            "step_mean_s": sum(steps) / max(1, len(steps)),
            "step_p50_s": steps[len(steps) // 2] if steps else 0.0,
            "step_p90_s": steps[len(steps) * 9 // 10] if steps else 0.0,
            "epochs": self._epochs,
            "peak_memory_bytes": _peak_bytes(),
        }
        if torch.cuda.is_available():
            found["peak_device_memory_bytes"] = torch.cuda.max_memory_allocated()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(found, indent=2) + "\n")


def _peak_bytes() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB.
