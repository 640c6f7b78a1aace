"""Other forms of a checkpoint: ONNX in fp32, and static int8 calibrated on real training texts.

A checkpoint that generates has two files of each: its encoder, and one step of its decoder.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from contracts.tasks import Task
from contracts.tensors import Tensors
from handlers.base import Handler, Prepared
from handlers.pipeline import padded
from model_store.manifest import Artifact

TORCH = Artifact(format="torch", precision="fp32", path="model.safetensors")
ONNX_FP32 = Artifact(format="onnx", precision="fp32", path="onnx/model.onnx")
ONNX_INT8 = Artifact(format="onnx", precision="int8", path="onnx/model_int8.onnx")
STEPS_FP32 = Artifact(
    format="onnx", precision="fp32", path="onnx/decoder.onnx", encoder="onnx/encoder.onnx"
)
STEPS_INT8 = Artifact(
    format="onnx", precision="int8", path="onnx/decoder_int8.onnx", encoder="onnx/encoder_int8.onnx"
)


def export_fp32(folder: Path, task: Task) -> Artifact:
    """Write the fp32 ONNX file of a checkpoint.

    Raises:
        CheckpointError: the architecture cannot be exported.
    """
    from model_store.export import export_onnx

    export_onnx(folder, task, folder / ONNX_FP32.path)
    return ONNX_FP32


def export_steps(folder: Path) -> Artifact:
    """Write the fp32 ONNX files of a checkpoint that generates.

    Raises:
        CheckpointError: the architecture cannot be exported.
    """
    from model_store.seq2seq_export import export_seq2seq

    export_seq2seq(folder, (folder / STEPS_FP32.path).parent)
    return STEPS_FP32


def compress_steps(folder: Path, handler: Any, items: Sequence[Any], rows: int) -> Artifact:
    """Write the int8 files of a checkpoint that generates, from its fp32 ones.

    Args:
        folder: the version's.
        handler: makes the rows that serving would run.
        items: typical requests; the first ``rows`` of their rows are used.
        rows: how many.

    Raises:
        CheckpointError: there is nothing to calibrate with, or a graph cannot be quantised.
    """
    from model_store.seq2seq_compress import compress_seq2seq

    typical = islice(calibration_rows(handler, items), rows)
    compress_seq2seq((folder / STEPS_INT8.path).parent, typical)
    return STEPS_INT8


def remove(folder: Path, artifact: Artifact) -> None:
    """Delete the files of an artifact, as far as they are there."""
    for path in (artifact.path, artifact.encoder):
        if path is not None:
            (folder / path).unlink(missing_ok=True)


def compress_int8(
    onnx_fp32: Path, folder: Path, handler: Handler[Any, Any], items: Sequence[Any], rows: int
) -> Artifact:
    """Write the static int8 file.

    Args:
        onnx_fp32: the exported graph.
        folder: the version's; the file goes to its place in it.
        handler: makes the rows that serving would run.
        items: typical requests; the first ``rows`` of their rows are used.
        rows: how many.

    Raises:
        CheckpointError: there is nothing to calibrate with, or the graph cannot be quantised.
    """
    from model_store.compress import quantize_static

    quantize_static(onnx_fp32, folder / ONNX_INT8.path, calibration_rows(handler, items), rows=rows)
    return ONNX_INT8


def calibration_rows(handler: Any, items: Sequence[Any]) -> Iterator[Tensors]:
    """Rows of serving, one by one and without padding; items that serving refuses are left out."""
    for prepared in handler.preprocess(items):
        if not isinstance(prepared, Prepared):
            continue
        for row in prepared.rows:
            yield padded([row], len(row), pad_id=0)


def sample(examples: Sequence[Any], count: int, seed: int) -> list[Any]:
    """At most ``count`` examples, always the same, in their order."""
    if len(examples) <= count:
        return list(examples)
    chosen = random.Random(seed).sample(range(len(examples)), count)
    return [examples[index] for index in sorted(chosen)]
