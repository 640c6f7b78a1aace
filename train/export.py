"""Another artifact for a checkpoint that is there: ONNX in fp32, or in calibrated int8."""

from pathlib import Path
from typing import Any, Literal

from contracts.bodies import bodies_of
from contracts.errors import CheckpointError
from contracts.tasks import Task
from handlers.tokenization import TextTokenizer
from model_store.copying import copy_checkpoint
from model_store.manifest import Artifact, Manifest
from model_store.version import ModelVersion
from train.artifacts import (
    ONNX_FP32,
    ONNX_INT8,
    STEPS_FP32,
    STEPS_INT8,
    calibration_rows,
    compress_int8,
    compress_steps,
    export_fp32,
    export_steps,
    remove,
    sample,
)
from train.data.split import split_dev
from train.float_parts import keep_in_float
from train.labelled import recipe_for
from train.tasks import training_task
from train.tasks.base import TrainTask
from train.unlabelled import UNLABELLED, compress_unlabelled, read_lines, read_texts
from train.verify import Exam, Measured


def add_artifact(
    version: ModelVersion,
    folder: Path,
    precision: Literal["fp32", "int8"],
    calibration: Path | None = None,
    settings: dict[str, Any] | None = None,
) -> tuple[Manifest, list[Measured]]:
    """Copy a checkpoint into an empty folder and add an ONNX artifact.

    int8 is calibrated on one half of the data and measured on the other, if they are labelled; from
    a ``.txt`` file (one text per line) it is calibrated only, and stays unverified. A model that
    embeds is measured on texts alone: its embeddings are compared with those of fp32.

    Args:
        version: has a torch artifact.
        folder: empty; becomes a checkpoint with one artifact more.
        precision: of the new artifact.
        calibration: labelled data as for training, or texts; needed for int8.
        settings: the ``data`` section of a recipe: format, columns.

    Returns:
        The manifest of the folder, and the measurements: the reference first, the artifact last;
        none without labels.

    Raises:
        CheckpointError: no torch weights, no calibration data, or the artifact cannot be made or
            loaded.
    """
    reference = version.artifact("torch", "fp32")
    if reference is None:
        raise CheckpointError(f"{version.id} has no safetensors weights to export from.")
    if precision == "int8" and calibration is None:
        raise CheckpointError(
            "int8 is static: name typical texts with --calibrate DATA, "
            "as in training or a .txt file with one text per line."
        )
    texts: list[str] = []
    if calibration is not None and version.manifest.task in UNLABELLED:
        texts = read_texts(version.manifest.task, calibration)
    manifest = copy_checkpoint(version, folder)
    fp32, int8 = (STEPS_FP32, STEPS_INT8) if manifest.generates else (ONNX_FP32, ONNX_INT8)
    if manifest.generates:
        export_steps(folder)
    else:
        export_fp32(folder, manifest.task)
    if precision == "fp32" or calibration is None:
        return _with(manifest, fp32, verified=True), []
    if manifest.task in UNLABELLED:
        artifact, found = compress_unlabelled(version, folder, manifest, texts)
        if version.artifact("onnx", "fp32") is None:
            remove(folder, fp32)
        return _with(manifest, artifact, verified=bool(found) and found[-1].verified), found
    recipe = recipe_for(version.name, manifest, calibration, settings or {})
    job = training_task(recipe)
    typical, held_out = _halves(job, manifest, calibration)
    tokenizer = TextTokenizer.load(folder, manifest.max_tokens)
    rows = recipe.artifacts.calibration_items
    handler = job.handler(manifest, tokenizer)
    if manifest.generates:
        compress_steps(folder, handler, typical[:rows], rows)
    else:
        compress_int8(folder / ONNX_FP32.path, folder, handler, typical[:rows], rows)
    measured: list[Measured] = []
    if held_out:
        draft = ModelVersion(
            version.name,
            0,
            folder,
            manifest.model_copy(update={"artifacts": [reference, int8]}),
        )
        exam = Exam(draft, job, recipe.gates, held_out, [])
        measured = [exam.measure(reference), exam.measure(int8)]
        if not measured[-1].answered:
            raise CheckpointError(" ".join(measured[-1].reasons))
        if not manifest.generates and exam.lost(measured[-1]):
            again = calibration_rows(handler, typical)
            measured[-1] = keep_in_float(exam, measured[-1], folder / ONNX_FP32.path, again)
    if version.artifact("onnx", "fp32") is None:
        remove(folder, fp32)
    if not measured:
        return _with(manifest, int8, verified=False), measured
    artifact = measured[-1].artifact.model_copy(update={"scores": measured[-1].scores})
    return _with(manifest, artifact, verified=measured[-1].verified), measured


def _with(manifest: Manifest, artifact: Artifact, *, verified: bool) -> Manifest:
    """The manifest with an artifact in place of another of its kind."""
    kind = (artifact.format, artifact.precision)
    kept = [one for one in manifest.artifacts if (one.format, one.precision) != kind]
    added = artifact.model_copy(update={"verified": verified})
    return manifest.model_copy(update={"artifacts": [*kept, added]})


def _halves(job: TrainTask, manifest: Manifest, calibration: Path) -> tuple[list[Any], list[Any]]:
    """Items to calibrate with, and labelled examples to measure on."""
    if not calibration.is_file():
        raise CheckpointError(f"--calibrate: there is no file {calibration}.")
    if calibration.suffix == ".txt":
        return _plain_items(manifest, calibration), []
    examples = job.read(calibration)
    job.learn_labels(examples)
    job.check(examples)
    typical, held_out = split_dev(examples, 0.5, job.recipe.seed, job.stratum)
    rows = job.recipe.artifacts.calibration_items
    chosen = sample(typical, rows, job.recipe.seed)
    return job.items(chosen), sample(held_out, job.recipe.gates.dev_items, job.recipe.seed)


def _plain_items(manifest: Manifest, path: Path) -> list[Any]:
    if manifest.task is Task.QUESTION_ANSWERING:
        raise CheckpointError(
            f"{path}: questions come with contexts; calibrate with a SQuAD JSON file."
        )
    texts = read_lines(path)
    parameters = {"long": "truncate"}
    body = bodies_of(manifest.task, generates=manifest.generates)[0]
    return body.model_validate({"inputs": texts, "parameters": parameters}).items()
