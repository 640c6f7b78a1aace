"""The forms of a checkpoint that a recipe asks for: made, measured, deleted outside the gate."""

from pathlib import Path
from typing import Any

from contracts.errors import CheckpointError
from handlers.base import Handler
from model_store.manifest import Artifact, Manifest
from model_store.version import ModelVersion
from train.artifacts import ONNX_FP32, ONNX_INT8, TORCH, compress_int8, export_fp32, sample
from train.clock import Clock
from train.examples import Examples, measured_dev
from train.measure import unusable
from train.recipe import Recipe
from train.tasks.base import TrainTask
from train.verify import Exam, Measured, constant_answers


def make_artifacts(
    folder: Path,
    recipe: Recipe,
    job: TrainTask,
    examples: Examples,
    manifest: Manifest,
    handler: Handler[Any, Any],
    clock: Clock,
) -> list[Measured]:
    """Make and measure every form that the recipe asks for; delete those outside the gate.

    One that cannot be made or loaded is outside the gate.

    Returns:
        The fp32 checkpoint first, then every form that was asked for.

    Raises:
        CheckpointError: the fp32 checkpoint itself is outside the gate, or cannot be loaded.
    """
    made, failed = _make(folder, recipe, job, examples, handler, clock)
    with clock.phase("verify"):
        draft = ModelVersion(
            recipe.model.name, 0, folder, manifest.model_copy(update={"artifacts": made})
        )
        dev = measured_dev(recipe, examples)
        baseline = constant_answers(job, examples.train, dev)
        exam = Exam(draft, job, recipe.gates, dev, examples.test, baseline=baseline)
        measured = [exam.measure(one) for one in made] + failed
    if not measured[0].verified:
        raise CheckpointError(
            f"{recipe.model.name} is not published: {' '.join(measured[0].reasons)}"
        )
    for one in measured:
        if not one.verified:
            (folder / one.artifact.path).unlink(missing_ok=True)
            clock.console.print(
                f"{recipe.model.name}: {one.artifact.format} {one.artifact.precision} is left out: "
                f"{' '.join(one.reasons)}",
                highlight=False,
            )
    return measured


def _make(
    folder: Path,
    recipe: Recipe,
    job: TrainTask,
    examples: Examples,
    handler: Handler[Any, Any],
    clock: Clock,
) -> tuple[list[Artifact], list[Measured]]:
    """What could be made, the reference first, and what could not, with its reason."""
    wish = recipe.artifacts
    made, failed = [TORCH], []
    if wish.onnx_fp32 or wish.onnx_int8:
        try:
            with clock.phase("export"):
                export_fp32(folder, job.task)
        except CheckpointError as error:
            if wish.onnx_fp32:
                failed.append(unusable(folder, ONNX_FP32, error))
            if wish.onnx_int8:
                source = CheckpointError(f"It is made from onnx fp32, which failed: {error}")
                failed.append(unusable(folder, ONNX_INT8, source))
            return made, failed
    if wish.onnx_fp32:
        made.append(ONNX_FP32)
    if wish.onnx_int8:
        typical = job.items(sample(examples.train, wish.calibration_items, recipe.seed))
        fp32 = folder / ONNX_FP32.path
        try:
            with clock.phase("compress"):
                compress_int8(fp32, folder, handler, typical, wish.calibration_items)
            made.append(ONNX_INT8)
        except CheckpointError as error:
            failed.append(unusable(folder, ONNX_INT8, error))
        if not wish.onnx_fp32:
            fp32.unlink()
    return made, failed
