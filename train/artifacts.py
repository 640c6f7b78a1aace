"""Other forms of a checkpoint: ONNX in fp32, and static int8 calibrated on real training texts."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from contracts.tasks import Task
from contracts.tensors import IDS, Tensors
from handlers.base import Handler, Prepared
from model_store.manifest import Artifact

TORCH = Artifact(format="torch", precision="fp32", path="model.safetensors")
ONNX_FP32 = Artifact(format="onnx", precision="fp32", path="onnx/model.onnx")
ONNX_INT8 = Artifact(format="onnx", precision="int8", path="onnx/model_int8.onnx")


def export_fp32(folder: Path, task: Task) -> Artifact:
    """Write the fp32 ONNX file of a checkpoint.

    Raises:
        CheckpointError: the architecture cannot be exported.
    """
    from model_store.export import export_onnx

    export_onnx(folder, task, folder / ONNX_FP32.path)
    return ONNX_FP32


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


def calibration_rows(handler: Handler[Any, Any], items: Sequence[Any]) -> Iterator[Tensors]:
    """Rows of serving, one by one and without padding; items that serving refuses are left out."""
    for prepared in handler.preprocess(items):
        if not isinstance(prepared, Prepared):
            continue
        for row in prepared.rows:
            yield {
                "input_ids": np.array([row.input_ids], dtype=IDS),
                "attention_mask": np.ones((1, len(row)), dtype=IDS),
                "token_type_ids": np.array([row.token_type_ids], dtype=IDS),
            }


def sample(examples: Sequence[Any], count: int, seed: int) -> list[Any]:
    """At most ``count`` examples, always the same, in their order."""
    if len(examples) <= count:
        return list(examples)
    chosen = random.Random(seed).sample(range(len(examples)), count)
    return [examples[index] for index in sorted(chosen)]
