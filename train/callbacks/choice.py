"""From ``[[callbacks]]`` in a recipe to objects: names, import paths, arguments."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from contracts.errors import CheckpointError
from train.callbacks.base import Callback
from train.callbacks.checkpoints import Checkpoints
from train.callbacks.guard import BadLossGuard
from train.callbacks.metric_log import MetricLog
from train.callbacks.profiler import Profiler
from train.callbacks.rates import DecayRate, ReduceOnPlateau, StepRate
from train.callbacks.stopping import EarlyStopping
from train.callbacks.trackers import MLflow, TensorBoard, WeightsAndBiases
from train.callbacks.unfreezing import GradualUnfreezing

BUILT_IN: dict[str, type[Callback]] = {
    "step_lr": StepRate,
    "decay_lr": DecayRate,
    "reduce_on_plateau": ReduceOnPlateau,
    "gradual_unfreezing": GradualUnfreezing,
    "early_stopping": EarlyStopping,
    "checkpoints": Checkpoints,
    "metric_log": MetricLog,
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
    "mlflow": MLflow,
    "profiler": Profiler,
    "bad_loss_guard": BadLossGuard,
}


class CallbackChoice(BaseModel):
    """One entry of ``[[callbacks]]``; keys beside these are the callback's arguments."""

    model_config = ConfigDict(extra="allow", frozen=True, serialize_by_alias=True)

    name: str | None = Field(default=None, description="A built-in one,")
    path: str | None = Field(default=None, alias="class", description="or module.Class of one.")


def make_callbacks(choices: Sequence[CallbackChoice], folder: Path | None) -> list[Callback]:
    """Callbacks in the recipe's order.

    Args:
        choices: of the recipe.
        folder: where modules of the user's own are looked for first: the recipe's.

    Raises:
        CheckpointError: an unknown name or argument, a wrong value, or a package that is missing.
    """
    return [_make(choice, folder) for choice in choices]


def _make(choice: CallbackChoice, folder: Path | None) -> Callback:
    if (choice.name is None) == (choice.path is None):
        raise CheckpointError('callbacks: give each a name = "..." or a class = "module.Class".')
    if choice.name is not None:
        title, found = choice.name, BUILT_IN.get(choice.name)
        if found is None:
            hint = _nearest(choice.name, BUILT_IN)
            raise CheckpointError(f'callbacks: there is no callback "{choice.name}"; {hint}')
    else:
        title, found = str(choice.path), _load(str(choice.path), folder)
    arguments = _check(title, found, choice.model_extra or {})
    if found.requires is not None and importlib.util.find_spec(found.requires) is None:
        raise CheckpointError(
            f'callbacks: "{title}" needs the package {found.requires}; '
            f"run: pip install 'tuneserve[{found.requires}]'"
        )
    return found(**arguments)


def _load(path: str, folder: Path | None) -> type[Callback]:
    module, dot, name = path.rpartition(".")
    if not dot:
        raise CheckpointError(f'callbacks: class = "{path}" must be module.Class.')
    before = list(sys.path)
    sys.path[:0] = [str(folder)] if folder else []
    try:
        found = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise CheckpointError(f'callbacks: class = "{path}": {error}.') from None
    except AttributeError:
        raise CheckpointError(f'callbacks: module {module} has no class "{name}".') from None
    finally:
        sys.path[:] = before
    if not (isinstance(found, type) and issubclass(found, Callback)):
        raise CheckpointError(f"callbacks: {path} is no subclass of train.callbacks.Callback.")
    return found


def _check(title: str, kind: type[Callback], given: dict[str, Any]) -> dict[str, Any]:
    """The arguments, as the annotations of ``__init__`` want them."""
    parameters = dict(inspect.signature(kind).parameters)
    for name in given:
        if name not in parameters:
            hint = _nearest(name, parameters)
            raise CheckpointError(f'callbacks: "{title}" has no argument "{name}"; {hint}')
    hints = get_type_hints(kind.__init__, include_extras=True)
    fields: dict[str, Any] = {
        name: (hints.get(name, Any), ... if one.default is one.empty else one.default)
        for name, one in parameters.items()
    }
    try:
        checked = create_model("Arguments", **fields).model_validate(given)
    except ValidationError as error:
        problem = error.errors()[0]
        where = f'callbacks: "{title}": {problem["loc"][0]}'
        if problem["type"] == "missing":
            raise CheckpointError(f"{where} is missing.") from None
        message = problem["msg"][0].lower() + problem["msg"][1:]
        raise CheckpointError(f"{where} is {problem['input']!r}: {message}.") from None
    return {name: getattr(checked, name) for name in given}


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    return f'did you mean "{near[0]}"?' if near else f"it knows {', '.join(names) or 'none'}."
