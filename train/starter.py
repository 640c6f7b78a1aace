"""A first recipe for a file: which columns matter, how they are read, how long to train."""

import json
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contracts.errors import CheckpointError
from contracts.tasks import GENERATION_TASKS
from train.columns import guess
from train.recipe import Data, Recipe
from train.recipe_model import GENERATION, SHORT_TASKS, Model
from train.tasks import training_task
from train.tasks.base import TrainTask

WANTED_STEPS = 300
"""Small data are read more often, so that a run has about so many steps,"""
FEWEST_EPOCHS, MOST_EPOCHS = 3, 20
"""within these limits."""

COMMENTS_AT = 26
"""Where the reasons stand, if the setting leaves room."""
PARTS = {"dev": ("dev", "valid", "validation"), "test": ("test",)}
"""How files beside a ``train`` file are called."""


def starter(task: str, path: Path, *, name: str | None = None, base: str = "minilm") -> str:
    """A commented recipe that trains as it is.

    Args:
        task: a short or a full name.
        path: the labelled examples, by the path that the recipe shall give.
        name: of the model; default: the file's name without its ending.
        base: what is trained from.

    Returns:
        TOML. Everything that is not a default is there with its reason.

    Raises:
        CheckpointError: no such task or file, or the examples cannot be read as they are.
    """
    short = next((key for key, full in SHORT_TASKS.items() if task in (key, full)), None)
    short = short or (GENERATION if task in GENERATION_TASKS else None)
    if short is None:
        raise CheckpointError(f"{task!r} is no task; choose from {', '.join(SHORT_TASKS)}.")
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}.")
    name = name or re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._") or short
    files = {"train": path, **_siblings(path)}
    columns = guess(short, path)
    of_model = {key: columns.pop(key) for key in ("problem_type", "kind") if key in columns}
    if short == GENERATION:
        of_model["kind"] = of_model.get("kind") or SHORT_TASKS.get(task, task)
    try:
        recipe = Recipe(
            model=Model.model_validate({"name": name, "task": short, "base": base, **of_model}),
            data=Data(**files, **columns),
        )
    except ValueError:
        raise CheckpointError(
            f"{name!r} cannot be the name of a model: letters, digits, '.', '_' and '-'."
        ) from None
    job = training_task(recipe)
    examples = job.read(path)
    job.learn_labels(examples)
    return _toml(recipe, short, job, examples, columns)


def epochs_for(examples: int, batch_rows: int) -> int:
    """About ``WANTED_STEPS`` steps: few examples must be seen more often."""
    steps = max(1, round(examples / batch_rows))
    return min(MOST_EPOCHS, max(FEWEST_EPOCHS, -(-WANTED_STEPS // steps)))


def _siblings(path: Path) -> dict[str, Path]:
    """``dev`` and ``test`` files that lie beside a file whose name has ``train`` in it."""
    found: dict[str, Path] = {}
    if "train" in path.stem:
        for part, names in PARTS.items():
            for one in names:
                other = path.with_name(path.name.replace("train", one))
                if other.is_file():
                    found.setdefault(part, other)
    return found


def _toml(
    recipe: Recipe, task: str, job: TrainTask, examples: Sequence[Any], columns: dict[str, Any]
) -> str:
    words = sorted(len(job.text_of(one).split()) for one in examples)
    model, data, optim = recipe.model, recipe.data, recipe.optim
    epochs = epochs_for(len(examples), optim.batch_rows)
    lines = [
        f"# {_one_line(data.train.name)}: {len(examples)} examples, "
        f"{words[len(words) // 2]} words in the median and {words[-1]} at most.",
        *_about_labels(job.label_counts(examples)),
        _line("seed = 42", "of the split, the new head, dropout and the order of batches"),
        "",
        "[model]",
        f"name = {_quoted(model.name)}",
        f"task = {_quoted(task)}",
        _line(f"base = {_quoted(model.base)}", "or a checkpoint folder, or a hub id"),
    ]
    if model.kind is not None:
        lines.append(_line(f"kind = {_quoted(model.kind)}", "what it is published for"))
    if model.problem_type is not None:
        lines.append(f"problem_type = {_quoted(model.problem_type)}")
    lines += [
        _line("# max_tokens = 128", "longest training row; default: the base's limit"),
        "",
        _line("[data]", "paths are relative to this file"),
        f"train = {_quoted(data.train.as_posix())}",
    ]
    if data.dev is not None:
        lines.append(_line(f"dev = {_quoted(data.dev.as_posix())}", "chooses the best epoch"))
    else:
        lines.append(_line("dev_share = 0.1", "of train, to choose the best epoch; or dev = FILE"))
    test = f"test = {_quoted(data.test.as_posix())}" if data.test else '# test = "test.csv"'
    lines.append(_line(test, "looked at once, for the report"))
    lines += [f"{key} = {_quoted(value)}" for key, value in columns.items()]
    lines += [
        "",
        "[optim]",
        _line(f"lr = {optim.lr:g}", "suits small encoders; 3e-5 large ones"),
        _line(f"epochs = {epochs}", f"about {WANTED_STEPS} steps or more: few data, more epochs"),
        f"batch_rows = {optim.batch_rows}",
        "",
        "[artifacts]",
        "onnx_fp32 = true",
        _line("onnx_int8 = true", "part of the version only inside the gate"),
        "",
        "[gates]",
        _line(f"max_score_loss = {recipe.gates.max_score_loss:g}", "points, against fp32"),
        "",
        "[publish]",
        _line('alias = "production"', "what the plain name of the model means"),
    ]
    return "\n".join(lines) + "\n"


def _about_labels(counts: dict[str, int]) -> list[str]:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{_one_line(label)} {count}" for label, count in ordered[:8])
    more = f" and {len(counts) - 8} more" if len(counts) > 8 else ""
    rare = [label for label, count in counts.items() if count < 5]
    lines = textwrap.wrap(
        f"Labels: {shown}{more}.", 98, initial_indent="# ", subsequent_indent="# "
    )
    if rare:
        lines.append(f"# {len(rare)} of {len(counts)} labels have fewer than five examples.")
    return lines


def _line(setting: str, comment: str) -> str:
    return f"{setting:<{COMMENTS_AT}} # {comment}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _quoted(value: Any) -> str:
    """TOML's basic strings and arrays of them are JSON's."""
    return json.dumps(value, ensure_ascii=False)
