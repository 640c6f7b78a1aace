"""The forms of a checkpoint that a recipe asks for: made, measured, deleted outside the gate."""

from pathlib import Path
from typing import Any

from contracts.errors import CheckpointError
from model_store.manifest import Artifact, Manifest
from model_store.version import ModelVersion
from train.artifacts import (
    ONNX_FP32,
    ONNX_INT8,
    STEPS_FP32,
    STEPS_INT8,
    TORCH,
    calibration_rows,
    compress_int8,
    compress_steps,
    export_fp32,
    export_steps,
    remove,
    sample,
)
from train.clock import Clock
from train.examples import Examples, measured_dev
from train.float_parts import keep_in_float
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
    handler: Any,
    clock: Clock,
) -> list[Measured]:
    """Make and measure every form that the recipe asks for; delete those outside the gate.

    One that cannot be made or loaded is outside the gate.

    Returns:
        The fp32 checkpoint first, then every form that was asked for.

    Raises:
        CheckpointError: the fp32 checkpoint itself is outside the gate, or cannot be loaded.
    """
    fp32, int8 = (STEPS_FP32, STEPS_INT8) if manifest.generates else (ONNX_FP32, ONNX_INT8)
    made, failed = _make(folder, recipe, job, examples, handler, clock, fp32, int8)
    with clock.phase("verify"):
        draft = ModelVersion(
            recipe.model.name, 0, folder, manifest.model_copy(update={"artifacts": made})
        )
        dev = measured_dev(recipe, examples)
        baseline = constant_answers(job, examples.train, dev)
        exam = Exam(draft, job, recipe.gates, dev, examples.test, baseline=baseline)
        measured = [exam.measure(one) for one in made]
    if not measured[0].verified:
        raise CheckpointError(
            f"{recipe.model.name} is not published: {' '.join(measured[0].reasons)}"
        )
    if ONNX_INT8 in made and exam.lost(measured[-1]):
        with clock.phase("float parts"):
            rows = calibration_rows(handler, _typical(recipe, job, examples))
            measured[-1] = keep_in_float(exam, measured[-1], folder / ONNX_FP32.path, rows)
    if not recipe.artifacts.onnx_fp32:
        remove(folder, fp32)
    measured += failed
    for one in measured:
        if one.tried:
            _tell(clock, one, f"was tried: {' '.join(one.tried)}")
        if one.artifact.float_parts:
            _tell(clock, one, f"keeps {', '.join(one.artifact.float_parts)} in float")
        if not one.verified:
            remove(folder, one.artifact)
            _tell(clock, one, f"is left out: {' '.join(one.reasons)}")
    return measured


def _make(
    folder: Path,
    recipe: Recipe,
    job: TrainTask,
    examples: Examples,
    handler: Any,
    clock: Clock,
    fp32: Artifact,
    int8: Artifact,
) -> tuple[list[Artifact], list[Measured]]:
    """What could be made, the reference first, and what could not, with its reason."""
    wish = recipe.artifacts
    made, failed = [TORCH], []
    if wish.onnx_fp32 or wish.onnx_int8:
        try:
            with clock.phase("export"):
                if fp32.encoder is not None:
                    export_steps(folder)
                else:
                    export_fp32(folder, job.task)
        except CheckpointError as error:
            if wish.onnx_fp32:
                failed.append(unusable(folder, fp32, error))
            if wish.onnx_int8:
                source = CheckpointError(f"It is made from onnx fp32, which failed: {error}")
                failed.append(unusable(folder, int8, source))
            return made, failed
    if wish.onnx_fp32:
        made.append(fp32)
    if wish.onnx_int8:
        typical = _typical(recipe, job, examples)
        rows = wish.calibration_items
        try:
            with clock.phase("compress"):
                if int8.encoder is not None:
                    compress_steps(folder, handler, typical, rows)
                else:
                    compress_int8(folder / fp32.path, folder, handler, typical, rows)
            made.append(int8)
        except CheckpointError as error:
            failed.append(unusable(folder, int8, error))
    return made, failed


def _typical(recipe: Recipe, job: TrainTask, examples: Examples) -> list[Any]:
    """The items that int8 is calibrated with."""
    return job.items(sample(examples.train, recipe.artifacts.calibration_items, recipe.seed))


def _tell(clock: Clock, one: Measured, text: str) -> None:
    kind = f"{one.artifact.format} {one.artifact.precision}"
    clock.console.print(f"{clock.name}: {kind} {text}", highlight=False)
