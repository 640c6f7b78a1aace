"""One run: recipe -> data -> fit -> export -> compress -> verify -> report -> publish."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from contracts.errors import CheckpointError
from handlers.base import Handler
from handlers.load import load_handler
from handlers.tokenization import TextTokenizer
from model_store.derive import derive_manifest
from model_store.manifest import Artifact, Manifest
from model_store.store import PRODUCTION, Store
from model_store.version import ModelVersion
from train.artifacts import ONNX_FP32, TORCH, compress_int8, export_fp32, sample
from train.base_model import load_model, save_model, save_tokenizer, seed_everything
from train.calibration import has_probabilities
from train.card import describe
from train.data.card import count_oddities
from train.data.files import check_sha256
from train.data.split import split_dev
from train.disk import full_disk_told
from train.promote import promote
from train.recipe import Recipe
from train.report import Report, packages
from train.report.findings import find
from train.scratch import base_checkpoint
from train.tasks import training_task
from train.tasks.base import TrainTask
from train.verify import Measured, constant_answers, measure


@dataclass(slots=True)
class Examples:
    """The three parts of the data."""

    train: list[Any]
    dev: list[Any]
    test: list[Any]
    notes: dict[str, int] = field(default_factory=dict)
    """What is odd about them, counted: texts in two parts, rare labels, repaired tags."""

    @property
    def counts(self) -> dict[str, int]:
        """Examples by part."""
        return {"train": len(self.train), "dev": len(self.dev), "test": len(self.test)}


@dataclass(frozen=True, slots=True)
class Made:
    """What a folder holds that is not published yet, and what is told about it."""

    manifest: Manifest
    report: Report

    def write(self, folder: Path, recipe: Recipe) -> Manifest:
        """Write the report under the recipe's name; returns the manifest to publish with."""
        replace(self.report, recipe=recipe).write(folder)
        return self.manifest.model_copy(update={"recipe_sha256": recipe.sha256})


@dataclass(slots=True)
class Clock:
    """Seconds per phase, and a line for the person who waits.

    Attributes:
        seconds: of the clock on the wall.
        cpu_seconds: of all threads of this process: what it would cost on an idle machine.
    """

    console: Console
    name: str
    seconds: dict[str, float] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str, *, spinner: bool = True) -> Iterator[None]:
        """Time what happens inside; it may draw its own bar instead of the spinner."""
        started, cpu_started = time.perf_counter(), time.process_time()
        with self.console.status(f"{self.name}: {name}") if spinner else nullcontext():
            yield
        self.seconds[name] = time.perf_counter() - started
        self.cpu_seconds[name] = time.process_time() - cpu_started
        self.console.print(f"{self.name}: {name}, {self.seconds[name]:.1f} s", highlight=False)


def read_examples(recipe: Recipe, job: TrainTask) -> Examples:
    """Read, split and check the data; afterwards ``job.labels`` are settled.

    Raises:
        CheckpointError: the data are wrong; the sentence names file and line.
    """
    data = recipe.data
    for name, sha256 in data.sha256.items():
        path = getattr(data, name)
        if path is not None:
            check_sha256(path, sha256)
    train = job.read(data.train)[: data.max_train]
    job.learn_labels(train)
    if data.dev is not None:
        dev = job.read(data.dev)
    else:
        train, dev = split_dev(train, data.dev_share, recipe.seed, job.stratum)
    test = job.read(data.test) if data.test is not None else []
    for part in (train, dev, test):
        job.check(part)
    if not train or not dev:
        raise CheckpointError(f"{data.train} has too few examples to train and to develop on.")
    parts = {"train": train, "dev": dev, "test": test}
    odd = count_oddities(parts, job.identity, job.label_counts(train))
    return Examples(train, dev, test, {**job.notes, **odd})


def train(recipe: Recipe, store: Store, *, command: str, console: Console) -> ModelVersion:
    """Make a new version of a model and point its alias to it.

    ``production`` moves only if the version is not worse than the one it replaces on the test set,
    which neither has seen, or on the dev set where there is none.

    Args:
        recipe: what to do.
        store: where the version goes.
        command: how it was called, for the report.
        console: for progress, on standard error; may be a quiet one.

    Returns:
        The published version.

    Raises:
        CheckpointError: data, base model or export are not usable, or the model is no better than
            a constant answer; nothing is published then.
    """
    clock = Clock(console, recipe.model.name)
    job = training_task(recipe)
    with clock.phase("data"):
        examples = read_examples(recipe, job)
    for name, count in examples.notes.items():
        console.print(f"{recipe.model.name}: data: {name}: {count}", highlight=False)
    version = publish(
        store,
        recipe,
        lambda folder: make(folder, recipe, job, examples, clock, command).write(folder, recipe),
        job=job,
        held_out=judges(recipe, examples),
        console=console,
    )
    console.print(f"{version.id}: published, {', '.join(version.aliases) or 'without an alias'}")
    return version


def publish(
    store: Store,
    recipe: Recipe,
    build: Callable[[Path], Manifest],
    *,
    job: TrainTask,
    held_out: list[Any],
    console: Console,
) -> ModelVersion:
    """Make the next version of the recipe's model and point the recipe's alias to it.

    Args:
        store: where the version goes.
        recipe: says the name and the alias.
        build: see ``Store.publish``.
        job: the recipe's task.
        held_out: labelled examples on which ``production`` has to be met; see ``judges``.
        console: is told when ``production`` stays where it was.
    """
    with full_disk_told(store.root):
        version = store.publish(recipe.model.name, build)
    alias = recipe.publish.alias
    if alias == PRODUCTION:
        score = version.manifest.scores[job.metric]
        decision = promote(store, version, job, held_out, score=score)
        version = decision.version
        if not decision.moved:
            console.print(decision.sentence, highlight=False)
    elif alias is not None:
        store.set_alias(recipe.model.name, alias, version.version)
        version = store.resolve(version.id)
    return version


def make(
    folder: Path, recipe: Recipe, job: TrainTask, examples: Examples, clock: Clock, command: str
) -> Made:
    """Fill an empty folder with a checkpoint and its artifacts.

    Args:
        folder: of a version; only its report is still to be written, see ``Made.write``.
        recipe: what to do.
        job: the recipe's task, with its labels settled by ``read_examples``.
        examples: the three parts of the data.
        clock: times the phases, and tells them.
        command: how it was called, for the report.

    Raises:
        CheckpointError: base model or export are not usable, or the model is outside the gate.
    """
    _refuse_temperature(recipe, job)
    texts = (job.text_of(example) for example in examples.train)
    with clock.phase("base model"), base_checkpoint(recipe.model, texts, recipe.seed) as base:
        # The new head's weights are drawn now; the Trainer seeds only what comes later.
        seed_everything(recipe.seed)
        model = load_model(base, job.auto_class, job.config)
        save_tokenizer(base, folder)
        # The untrained weights are written too: a manifest is derived from a whole checkpoint.
        save_model(model, folder)
        manifest = _describe(folder, recipe, job)
        handler = _handler(folder, manifest, manifest.max_tokens)
    with clock.phase("rows"):
        limit = min(recipe.model.max_tokens or manifest.max_tokens, manifest.max_tokens)
        reader = _handler(folder, manifest, limit)
        rows = job.rows(examples.train, reader)
        card = describe(job, examples.train, reader.tokenizer)
    with clock.phase("imports"):
        from train.callbacks.progress import ProgressBar
        from train.fit import fit
    with clock.phase("fit", spinner=False):
        bar = ProgressBar(clock.console, recipe.model.name, job.metric)
        fitted = fit(recipe, job, model, handler, rows, examples.dev, [bar])
        save_model(model, folder)
        del model
    measured = _artifacts(folder, recipe, job, examples, manifest, handler, clock)
    held_out = judges(recipe, examples)
    with clock.phase("baselines"):
        baselines = {
            name: job.score(held_out, answers)
            for name, answers in job.baselines(examples.train, held_out).items()
        }
    part = "test" if examples.test else "dev"
    findings = find(job, part, held_out, measured[0].answers)
    report = Report(
        recipe=recipe,
        command=command,
        metric=job.metric,
        counts=examples.counts,
        notes=examples.notes,
        labels=job.label_counts(examples.train),
        rows=len(rows),
        card=card,
        findings=findings,
        fitted=fitted,
        measured=measured,
        baselines=baselines,
        seconds=clock.seconds,
        cpu_seconds=clock.cpu_seconds,
    )
    kept = [
        one.artifact.model_copy(update={"scores": one.scores, "verified": True})
        for one in measured
        if one.verified
    ]
    calibration = measured[0].calibration if recipe.gates.temperature else None
    made = manifest.model_copy(
        update={
            "artifacts": kept,
            "scores": measured[0].test or measured[0].dev,
            "temperature": calibration.temperature if calibration else None,
            "packages": packages(),
        }
    )
    return Made(made, report)


def judges(recipe: Recipe, examples: Examples) -> list[Any]:
    """The examples that a version is judged by: the test set, or dev where there is none."""
    return examples.test or _dev(recipe, examples)


def _refuse_temperature(recipe: Recipe, job: TrainTask) -> None:
    """Before the work starts: only labels have scores to calibrate."""
    if recipe.gates.temperature and not has_probabilities(job):
        raise CheckpointError("gates.temperature is for classification by labels; remove it.")


def _dev(recipe: Recipe, examples: Examples) -> list[Any]:
    """The dev examples that artifacts are measured on."""
    return sample(examples.dev, recipe.gates.dev_items, recipe.seed)


def _describe(folder: Path, recipe: Recipe, job: TrainTask) -> Manifest:
    base = recipe.portable()["model"]["base"]
    return derive_manifest(folder, task=job.task).model_copy(
        update={"base_model": base, "generation_defaults": recipe.publish.generation_defaults}
    )


def _handler(folder: Path, manifest: Manifest, max_tokens: int) -> Handler[Any, Any]:
    return load_handler(manifest, TextTokenizer.load(folder, max_tokens))


def _artifacts(
    folder: Path,
    recipe: Recipe,
    job: TrainTask,
    examples: Examples,
    manifest: Manifest,
    handler: Handler[Any, Any],
    clock: Clock,
) -> list[Measured]:
    """Make and measure every form that the recipe asks for; delete those outside the gate.

    Raises:
        CheckpointError: the fp32 checkpoint itself is outside the gate.
    """
    wish = recipe.artifacts
    made: list[Artifact] = [TORCH]
    if wish.onnx_fp32 or wish.onnx_int8:
        with clock.phase("export"):
            made.append(export_fp32(folder, job.task))
    if wish.onnx_int8:
        with clock.phase("compress"):
            typical = job.items(sample(examples.train, wish.calibration_items, recipe.seed))
            made.append(
                compress_int8(
                    folder / ONNX_FP32.path, folder, handler, typical, wish.calibration_items
                )
            )
    if not wish.onnx_fp32 and ONNX_FP32 in made:
        made.remove(ONNX_FP32)
        (folder / ONNX_FP32.path).unlink()
    with clock.phase("verify"):
        draft = ModelVersion(
            recipe.model.name, 0, folder, manifest.model_copy(update={"artifacts": made})
        )
        dev = _dev(recipe, examples)
        baseline = constant_answers(job, examples.train, dev)
        measured = measure(draft, made, job, recipe.gates, dev, examples.test, baseline=baseline)
    for one in measured:
        if not one.verified:
            if one is measured[0]:
                raise CheckpointError(
                    f"{recipe.model.name} is not published: {' '.join(one.reasons)}"
                )
            (folder / one.artifact.path).unlink()
            clock.console.print(
                f"{recipe.model.name}: {one.artifact.precision} is left out: "
                f"{' '.join(one.reasons)}"
            )
    return measured
