"""Training from Python: the steps of ``tuneserve train``, one call each.

::

    p = train.pipeline("classification", epochs=3)
    p.fit("messages.csv")
    p.evaluate("test.csv")
    p.publish("intent")
"""

import json
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from rich.console import Console

from contracts.errors import CheckpointError
from contracts.tasks import Task
from model_store.store import PRODUCTION, Store
from model_store.version import ModelVersion
from train.recipe import Recipe
from train.recipe_file import explain
from train.tasks import training_task
from train.tasks.base import Scores, TrainTask

Examples = str | Path | Sequence[Any]
"""A file, or examples: pairs of text and label, or of text and answer, or dictionaries with what a
row of a file has."""

UNNAMED = "model"
"""The name in the recipe until ``publish`` gives one."""


def pipeline(
    task: str,
    *,
    base: str = "minilm",
    labels: Sequence[str] | None = None,
    quiet: bool = False,
    **settings: Any,
) -> "Training":
    """A model to be trained.

    Args:
        task: ``classification``, ``ner``, ``qa``, ``summary`` or ``generation``.
        base: a checkpoint folder, a hub id, or ``minilm``.
        labels: in the order of class indices; default: sorted from the data.
        quiet: no progress on standard error.
        **settings: any key of a recipe by its name: ``epochs=3, lr=2e-4, onnx_int8=False``; two
            sections that share a key are told apart by ``**{"optim.lr": 2e-4}``.

    Raises:
        CheckpointError: there is no such task or key, or its value is wrong.
    """
    raw: dict[str, Any] = {}
    for key, value in settings.items():
        section, name = _place(key)
        (raw.setdefault(section, {}) if section else raw)[name] = value
    named = {"name": UNNAMED, "task": task, "base": base, "labels": labels and list(labels)}
    raw["model"] = {**named, **raw.get("model", {})}
    # The file is not known yet; what is wrong with the rest is said now.
    _recipe({**raw, "data": {**raw.get("data", {}), "train": "not known yet"}})
    given = {"base": base, "labels": labels, **settings}
    shown = ", ".join(f"{key}={value!r}" for key, value in given.items() if value is not None)
    return Training(raw, f"train.pipeline({task!r}, {shown})", Console(stderr=True, quiet=quiet))


class Training:
    """A model of one task: fit it, evaluate it, publish it. Use ``pipeline`` to make one.

    Attributes:
        scores: on the dev set, or on the test set if ``fit`` was given one; empty before ``fit``.
        report: everything that ``report.json`` will hold; empty before ``fit``.
    """

    def __init__(self, settings: dict[str, Any], command: str, console: Console) -> None:
        self.scores: Scores = {}
        self.report: dict[str, Any] = {}
        self._settings = settings
        self._command = command
        self._console = console
        temporary = tempfile.mkdtemp(prefix="tuneserve-")
        weakref.finalize(self, shutil.rmtree, temporary, ignore_errors=True)
        self._folder = Path(temporary) / "version"
        self._made: Any = None
        self._recipe: Recipe | None = None
        self._job: TrainTask | None = None
        self._held_out: list[Any] = []

    def fit(
        self, data: Examples, *, dev: Examples | None = None, test: Examples | None = None
    ) -> "Training":
        """Fine-tune, export, compress and verify, as the recipe of the same settings would.

        Args:
            data: to learn from.
            dev: to choose the best epoch; default: a seeded, stratified share of ``data``.
            test: looked at once, for the report.

        Returns:
            Itself.

        Raises:
            CheckpointError: data, base model or export are not usable.
        """
        from train.clock import Clock
        from train.examples import judges, read_examples
        from train.run import finish, learn

        given = {"train": data, "dev": dev, "test": test}
        with tempfile.TemporaryDirectory() as name:
            files = {
                part: self._file(one, Path(name), part)
                for part, one in given.items()
                if one is not None
            }
            recipe = _recipe(
                {**self._settings, "data": {**self._settings.get("data", {}), **files}}
            )
            job = training_task(recipe)
            examples = read_examples(recipe, job)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        clock = Clock(self._console, recipe.model.name)
        self._held_out = judges(recipe, examples)
        command = f"{self._command}.fit(...)"
        learnt = learn(self._folder, recipe, job, examples, clock)
        made = finish(learnt, self._folder, recipe, job, examples, clock, command)
        self._made, self._recipe, self._job = made, recipe, job
        self.scores = dict(made.manifest.scores)
        self.report = made.report.as_dict()
        return self

    def evaluate(self, test: Examples) -> Scores:
        """Scores of the fp32 checkpoint, answering through the server's pipeline.

        Raises:
            CheckpointError: nothing is fitted yet, or the examples cannot be read or have labels
                that the model does not.
        """
        from train.artifacts import TORCH
        from train.measure import answers_of

        _, job = self._fitted()
        with tempfile.TemporaryDirectory() as name:
            examples = job.read(self._file(test, Path(name), "test"))
        job.check(examples)
        draft = ModelVersion(UNNAMED, 0, self._folder, self._made.manifest)
        return job.score(examples, answers_of(draft, TORCH, job, examples))

    def publish(
        self, name: str, *, store: str | Path = "store", alias: str | None = PRODUCTION
    ) -> ModelVersion:
        """Make it the next version of a model in a store.

        Args:
            name: of the model.
            store: its folder.
            alias: that shall point to the version; None: none.

        Raises:
            CheckpointError: nothing is fitted yet, or the name is not allowed.
        """
        from train.run import publish

        fitted, job = self._fitted()
        recipe = fitted.model_copy(
            update={
                "model": fitted.model.model_copy(update={"name": name}),
                "publish": fitted.publish.model_copy(update={"alias": alias}),
            }
        )

        def build(folder: Path) -> Any:
            shutil.copytree(self._folder, folder, dirs_exist_ok=True)
            return self._made.write(folder, recipe)

        return publish(
            Store(Path(store)),
            recipe,
            build,
            job=job,
            held_out=self._held_out,
            console=self._console,
        )

    def _fitted(self) -> tuple[Recipe, TrainTask]:
        if self._recipe is None or self._job is None:
            raise CheckpointError("Nothing is trained yet; call fit(data) first.")
        return self._recipe, self._job

    def _file(self, data: Examples, folder: Path, part: str) -> Path:
        """The file itself, or examples written as one: the same checks, the same errors."""
        if isinstance(data, str | Path):
            path = Path(data)
            if not path.is_file():
                raise CheckpointError(f"There is no file {path}.")
            return path.resolve()
        settings = self._settings.get("data", {})
        model = _recipe({**self._settings, "data": {"train": "x"}}).model
        names = settings.get("text", "text"), settings.get("label") or "label"
        if model.kind is not None:
            names = settings.get("input", "source"), settings.get("target", "target")
        rows = [_row(one, names, f"{part}[{index}]") for index, one in enumerate(data)]
        if model.task is Task.QUESTION_ANSWERING:
            path = folder / f"{part}.json"
            path.write_text(json.dumps({"data": [{"paragraphs": [_squad(one) for one in rows]}]}))
        else:
            path = folder / f"{part}.jsonl"
            path.write_text("\n".join(json.dumps(one) for one in rows))
        return path


def _row(example: Any, names: tuple[str, str], where: str) -> dict[str, Any]:
    if isinstance(example, dict):
        return example
    if isinstance(example, tuple | list) and len(example) == 2:
        return dict(zip(names, example, strict=True))
    raise CheckpointError(
        f"{where}: an example is a pair (text, label) or a dictionary, not {example!r}."
    )


def _squad(row: dict[str, Any]) -> dict[str, Any]:
    """One question as a paragraph of SQuAD; no answers: there is none."""
    entry = {key: value for key, value in row.items() if key != "context"}
    entry.setdefault("is_impossible", not entry.get("answers"))
    return {"context": row.get("context"), "qas": [entry]}


def _place(key: str) -> tuple[str, str]:
    """Section and name of a setting; the section is empty at the top level."""
    section, _, name = key.rpartition(".")
    if section:
        return section, name
    places: dict[str, list[str]] = {}
    for part, field in Recipe.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for one in kind.model_fields:
                places.setdefault(one, []).append(part)
        else:
            places[part] = [""]
    found = places.get(name, [])
    if len(found) == 1:
        return found[0], name
    if found:
        choice = " or ".join(f'"{part}.{name}"' for part in found)
        raise CheckpointError(f'More than one section has "{name}"; say {choice}.')
    near = get_close_matches(name, places, n=1, cutoff=0.5)
    hint = f'; did you mean "{near[0]}"?' if near else "."
    raise CheckpointError(f'There is no setting "{name}"{hint}')


def _recipe(raw: dict[str, Any]) -> Recipe:
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise CheckpointError(explain(error)) from None
