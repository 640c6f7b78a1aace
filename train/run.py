"""One run: recipe -> data -> fit -> export -> compress -> verify -> report -> publish."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from contracts.errors import CheckpointError
from handlers.tokenization import TextTokenizer
from model_store.derive import derive_manifest
from model_store.manifest import Manifest
from model_store.store import PRODUCTION, Store
from model_store.version import ModelVersion
from train.base_model import save_model, save_tokenizer, seed_everything
from train.calibration import has_probabilities
from train.candidates import make_artifacts
from train.card import describe
from train.clock import Clock
from train.disk import full_disk_told
from train.examples import Examples, judges, read_examples
from train.processes import is_first, part_ways
from train.promote import promote
from train.recipe import Recipe
from train.report import Report, packages
from train.report.findings import find
from train.run_folder import run_folder
from train.scratch import base_checkpoint
from train.tasks import training_task
from train.tasks.base import TrainTask

if TYPE_CHECKING:
    from train.fit import Fitted


@dataclass(frozen=True, slots=True)
class Made:
    """What a folder holds that is not published yet, and what is told about it."""

    manifest: Manifest
    report: Report

    def write(self, folder: Path, recipe: Recipe) -> Manifest:
        """Write the report under the recipe's name; returns the manifest to publish with."""
        replace(self.report, recipe=recipe).write(folder)
        return self.manifest.model_copy(update={"recipe_sha256": recipe.sha256})


@dataclass(frozen=True, slots=True)
class Learnt:
    """A fine-tuned checkpoint in its folder, and what was seen on the way."""

    manifest: Manifest
    handler: Any
    fitted: "Fitted"
    rows: int
    card: dict[str, Any]


def train(
    recipe: Recipe,
    store: Store,
    *,
    command: str,
    console: Console,
    events: bool = False,
    resume: bool = False,
) -> ModelVersion | None:
    """Make a new version of a model and point its alias to it.

    ``production`` moves only if the version is not worse than the one it replaces on the test set,
    which neither has seen, or on the dev set where there is none.

    Args:
        recipe: what to do.
        store: where the version goes.
        command: how it was called, for the report.
        console: for progress, on standard error; may be a quiet one.
        events: progress as JSON lines on standard output too, see ``Clock.tell``.
        resume: go on with an interrupted run of the same recipe, if there is one.

    Returns:
        The published version; None in the processes of ``torchrun`` that only help to train.

    Raises:
        CheckpointError: data, base model or export are not usable, or the model is no better than
            a constant answer; nothing is published then.
    """
    clock = Clock(console, recipe.model.name, events)
    job = training_task(recipe)
    with clock.phase("data"):
        examples = read_examples(recipe, job)
    for name, count in examples.notes.items():
        console.print(f"{recipe.model.name}: data: {name}: {count}", highlight=False)
    clock.tell("data", examples=examples.counts, notes=examples.notes)
    with run_folder(store.root, recipe, resume=resume, console=console) as work:
        if not is_first():
            with tempfile.TemporaryDirectory(prefix="tuneserve-") as folder:
                learn(Path(folder), recipe, job, examples, clock, work=work, resume=resume)
            return None

        def build(folder: Path) -> Manifest:
            learnt = learn(folder, recipe, job, examples, clock, work=work, resume=resume)
            made = finish(learnt, folder, recipe, job, examples, clock, command)
            return made.write(folder, recipe)

        version = publish(
            store, recipe, build, job=job, held_out=judges(recipe, examples), console=console
        )
    console.print(f"{version.id}: published, {', '.join(version.aliases) or 'without an alias'}")
    clock.tell(
        "published",
        version=version.version,
        folder=version.folder,
        aliases=version.aliases,
        scores=version.manifest.scores,
    )
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


def learn(
    folder: Path,
    recipe: Recipe,
    job: TrainTask,
    examples: Examples,
    clock: Clock,
    *,
    work: Path | None = None,
    resume: bool = False,
) -> Learnt:
    """Fill an empty folder with a fine-tuned checkpoint.

    Args:
        folder: of a version.
        recipe: what to do.
        job: the recipe's task, with its labels settled by ``read_examples``.
        examples: the three parts of the data.
        clock: times the phases, and tells them.
        work: for snapshots, see ``fit``.
        resume: go on from the last of them.

    Raises:
        CheckpointError: the base model is not usable, or the loss is not a number.
    """
    _refuse_temperature(recipe, job)
    texts = job.vocabulary(examples.train)
    with clock.phase("base model"), base_checkpoint(recipe.model, texts, recipe.seed) as base:
        # The new head's weights are drawn now; the Trainer seeds only what comes later.
        seed_everything(recipe.seed)
        model = job.load(base)
        save_tokenizer(base, folder)
        # The untrained weights are written too: a manifest is derived from a whole checkpoint.
        save_model(model, folder)
        manifest = _describe(folder, recipe, job)
        handler = job.handler(manifest, TextTokenizer.load(folder, manifest.max_tokens))
    with clock.phase("rows"):
        limit = min(recipe.model.max_tokens or manifest.max_tokens, manifest.max_tokens)
        reader = job.handler(manifest, TextTokenizer.load(folder, limit))
        rows = job.rows(examples.train, reader)
        card = describe(job, examples.train, reader.tokenizer)
    with clock.phase("imports"):
        from train.callbacks.events import Events
        from train.callbacks.progress import ProgressBar
        from train.fit import fit
    with clock.phase("fit", spinner=False):
        seen = [ProgressBar(clock.console, recipe.model.name, job.metric), Events(clock.tell)]
        fitted = fit(
            recipe, job, model, handler, rows, examples.dev, seen, work=work, resume=resume
        )
        save_model(model, folder)
        part_ways()
    return Learnt(manifest, handler, fitted, len(rows), card)


def finish(
    learnt: Learnt,
    folder: Path,
    recipe: Recipe,
    job: TrainTask,
    examples: Examples,
    clock: Clock,
    command: str,
) -> Made:
    """Export, compress and verify a checkpoint.

    Args:
        learnt: the checkpoint.
        folder: that holds it; only its report is still to be written, see ``Made.write``.
        recipe: what to do.
        job: the recipe's task.
        examples: the three parts of the data.
        clock: times the phases, and tells them.
        command: how it was called, for the report.

    Raises:
        CheckpointError: the export failed, or the model is outside the gate.
    """
    manifest = learnt.manifest
    measured = make_artifacts(folder, recipe, job, examples, manifest, learnt.handler, clock)
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
        notes={**examples.notes, **job.notes},
        labels=job.label_counts(examples.train),
        rows=learnt.rows,
        card=learnt.card,
        findings=findings,
        fitted=learnt.fitted,
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


def _refuse_temperature(recipe: Recipe, job: TrainTask) -> None:
    """Before the work starts: only labels have scores to calibrate."""
    if recipe.gates.temperature and not has_probabilities(job):
        raise CheckpointError("gates.temperature is for classification by labels; remove it.")


def _describe(folder: Path, recipe: Recipe, job: TrainTask) -> Manifest:
    base = recipe.portable()["model"]["base"]
    derived = derive_manifest(folder, task=job.task)
    defaults = {
        **derived.generation_defaults,
        **job.generation_defaults,
        **recipe.publish.generation_defaults,
    }
    return derived.model_copy(update={"base_model": base, "generation_defaults": defaults})
