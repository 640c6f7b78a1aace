"""Passes the Trainer's events on to callbacks, in their order."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from train.callbacks.base import Callback
from train.callbacks.run import Run


class Relay(TrainerCallback):  # type: ignore[misc]
    """One callback of transformers for all of ours; ``run`` is set before training begins."""

    run: Run

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self.callbacks = list(callbacks)
        self._resumed = self._inside = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Pass it on; a run that goes on has begun before."""
        self.callbacks = [one for one in self.callbacks if one.everywhere or self.run.main]
        for one in self.callbacks:
            if self._resumed:
                one.on_resume(self.run)
            else:
                one.on_train_begin(self.run)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Pass it on; an epoch that goes on has begun before."""
        if self._inside:
            self._inside = False
            return
        for one in self.callbacks:
            one.on_epoch_begin(self.run)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Pass it on."""
        for one in self.callbacks:
            one.on_step_end(self.run)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Pass a training loss on."""
        if logs and "loss" in logs:
            self.run.loss = float(logs["loss"])
            for one in self.callbacks:
                one.on_log(self.run)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Pass it on."""
        for one in self.callbacks:
            one.on_epoch_end(self.run)

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any
    ) -> None:
        """Pass the dev scores on."""
        run = self.run
        run.scores = {name.removeprefix("eval_"): float(one) for name, one in metrics.items()}
        run.best = max(run.best, run.scores[run.metric])
        for one in self.callbacks:
            one.on_evaluate(run)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Pass the folder on."""
        self.run.saved = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        for one in self.callbacks:
            one.on_save(self.run)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Pass it on."""
        for one in self.callbacks:
            one.on_train_end(self.run)

    def state_dict(self) -> list[dict[str, Any]]:
        """What each callback wants to find again, in their order."""
        return [one.state_dict() for one in self.callbacks]

    def load_state_dict(self, states: list[dict[str, Any]], *, inside_epoch: bool) -> None:
        """Give it back, before ``on_train_begin``.

        Args:
            states: of the same callbacks.
            inside_epoch: an epoch had begun.
        """
        self._resumed, self._inside = True, inside_epoch
        for one, state in zip(self.callbacks, states, strict=True):
            one.load_state_dict(state)
