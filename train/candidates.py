"""The forms of a checkpoint that a recipe asks for: made, measured, deleted outside the gate."""

from pathlib import Path
from typing import Any

from contracts.errors import CheckpointError
from handlers.base import Handler
from model_store.manifest import Artifact, Manifest
from model_store.version import ModelVersion
from train.artifacts import ONNX_FP32, TORCH, compress_int8, export_fp32, sample
from train.clock import Clock
from train.examples import Examples, measured_dev
from train.recipe import Recipe
from train.tasks.base import TrainTask
from train.verify import Measured, constant_answers, measure


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
        dev = measured_dev(recipe, examples)
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
