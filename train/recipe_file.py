"""Recipes as people write them: a TOML file and ``--set``, checked, with files found."""

import tomllib
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from contracts.errors import CheckpointError
from contracts.tasks import Task
from train.callbacks.choice import make_callbacks
from train.data.hub import is_hub, resolve_hub
from train.recipe import Data, Format, Gates, Recipe
from train.recipe_model import SHORT_TASKS

ELSEWHERE = {
    "learning_rate": "lr",
    "batch_size": "batch_rows",
    "num_train_epochs": "epochs",
    "gradient_accumulation_steps": "accumulate",
    "lr_scheduler_type": "schedule",
    "warmup_ratio": "warmup_share",
    "optimizer": "name",
    "layerwise_lr_decay": "layer_decay",
    "max_length": "max_tokens",
    "label_all_tokens": "subtokens",
    "model_name": "base",
}
"""What other trainers call the same: for hints."""


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        path: a TOML file.
        overrides: ``section.key=value``; the value is TOML, or a bare word for a string.

    Raises:
        CheckpointError: the file cannot be read, or a key or value is wrong; it says which.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"Recipe {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"Recipe {path} is not valid TOML: {error}.") from None
    for override in overrides:
        _apply(raw, override)
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        raise CheckpointError(f"Recipe {path}: {explain(error)}") from None
    try:
        make_callbacks(recipe.callbacks, path.resolve().parent)
    except CheckpointError as error:
        raise CheckpointError(f"Recipe {path}: {error}") from None
    return _resolve_paths(recipe, path.resolve().parent)


def data_settings(overrides: Sequence[str]) -> dict[str, Any]:
    """``data.key=value`` settings alone, for commands that read data without a recipe.

    Raises:
        CheckpointError: another section is named, or there is no such key.
    """
    raw: dict[str, Any] = {}
    for override in overrides:
        _apply(raw, override)
    settings: dict[str, Any] = raw.pop("data", {})
    if raw:
        raise CheckpointError(f"--set takes data.key=value here, not {next(iter(raw))}.")
    unknown = settings.keys() - Data.model_fields.keys()
    if unknown:
        raise CheckpointError(f"data has no key {min(unknown)!r}: {', '.join(Data.model_fields)}.")
    return settings


def gate_settings(overrides: Sequence[str]) -> Gates:
    """``gates.key=value`` settings alone, for commands that judge without a recipe.

    Raises:
        CheckpointError: a key or value is wrong.
    """
    raw: dict[str, Any] = {}
    for override in overrides:
        _apply(raw, override)
    try:
        return Gates.model_validate(raw.get("gates", {}))
    except ValidationError as error:
        problem = error.errors()[0]
        raise CheckpointError(
            f"--set gates.{problem['loc'][0]}: {problem['msg'].lower()}."
        ) from None


def _apply(raw: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    names = [name.strip() for name in key.split(".")]
    if not equals or not all(names):
        raise CheckpointError(
            f'--set takes section.key=value, for example optim.lr=3e-5, not "{override}".'
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    for name in names[:-1]:
        raw = raw.setdefault(name, {})
        if not isinstance(raw, dict):
            raise CheckpointError(f'--set {override}: "{name}" is a value, not a section.')
    if names == ["data", "dir"]:
        # The only path that a command line gives: relative to where that was typed.
        value = str(Path.cwd() / str(value))
    raw[names[-1]] = value


def explain(error: ValidationError) -> str:
    """The first problem in one sentence, with the nearest valid name for an unknown key."""
    problem = error.errors()[0]
    path = [str(part) for part in problem["loc"]]
    name = ".".join(path)
    if problem["type"] == "extra_forbidden":
        part: type[BaseModel] = Recipe
        for section in path[:-1]:
            part = part.model_fields[section].annotation  # type: ignore[assignment]
        where = f"[{'.'.join(path[:-1])}]" if path[:-1] else "the top level"
        meant = {key: key for key in part.model_fields}
        meant |= {other: key for other, key in ELSEWHERE.items() if key in meant}
        near = get_close_matches(path[-1], meant, n=1, cutoff=0.5)
        known = ", ".join(part.model_fields)
        hint = f'did you mean "{meant[near[0]]}"?' if near else f"it knows {known}."
        return f'{where} has no key "{path[-1]}"; {hint}'
    if problem["type"] == "missing":
        return f"{name} is missing."
    if path == ["model", "task"]:
        names = [*SHORT_TASKS, *Task]
        return f"model.task is {problem['input']!r}; choose from {', '.join(names)}."
    if path == ["data", "format"]:
        return f"data.format is {problem['input']!r}; choose from {', '.join(get_args(Format))}."
    return f"{name} is {problem['input']!r}: {problem['msg'].lower()}."


def _resolve_paths(recipe: Recipe, folder: Path) -> Recipe:
    data = recipe.data
    root = folder / data.dir if data.dir else folder
    found: dict[str, Path | None] = {"dir": None}
    for name in ("train", "dev", "test"):
        path: Path | None = getattr(data, name)
        if path is not None and is_hub(path):
            path = resolve_hub(path, name, root)
            if name in data.sha256:
                raise CheckpointError(
                    f"data.sha256.{name}: {path} is no file; pin a dataset with data.revision."
                )
        elif path is not None:
            path = root / path
            if not path.is_file():
                hint = f"; get it from {data.source}" if data.source else ""
                where = ", and say where it lies with --set data.dir=FOLDER" if hint else ""
                raise CheckpointError(f"data.{name}: there is no file {path}{hint}{where}.")
        found[name] = path
    bases = {
        name: str(folder / base)
        for name in ("base", "decoder")
        if (base := getattr(recipe.model, name)) is not None and (folder / base).is_dir()
    }
    resolved = recipe.model_copy(
        update={
            "data": data.model_copy(update=found),
            "model": recipe.model.model_copy(update=bases),
        }
    )
    resolved._folder = folder
    return resolved
