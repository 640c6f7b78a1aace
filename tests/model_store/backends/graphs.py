"""Tiny checkpoints with their ONNX files, made once for a whole test run."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from contracts.tasks import Task
from contracts.tensors import Tensors
from model_store.compress import quantize_static
from model_store.export import export_onnx, sample_inputs
from model_store.files import read_json
from tests.models import tiny_checkpoint


@dataclass(frozen=True)
class Graphs:
    """One checkpoint in every form."""

    folder: Path
    fp32: Path
    int8: Path

    @property
    def vocabulary(self) -> int:
        return int(read_json(self.folder / "config.json")["vocab_size"])


@cache
def tiny_graphs() -> Graphs:
    """A tiny BERT for classification, exported and quantised."""
    folder = tiny_checkpoint(Path(mkdtemp()) / "bert", "bert", Task.TEXT_CLASSIFICATION)
    fp32 = export_onnx(folder, Task.TEXT_CLASSIFICATION, folder / "onnx/model.onnx")
    vocabulary = int(read_json(folder / "config.json")["vocab_size"])
    texts = [sample_inputs(vocabulary, 1, tokens, seed=tokens) for tokens in range(5, 25)]
    int8 = quantize_static(fp32, folder / "onnx/model_int8.onnx", texts)
    return Graphs(folder, fp32, int8)


def padded(inputs: Tensors, tokens: int) -> Tensors:
    """The same rows with more padding (id 0)."""
    missing = tokens - inputs["input_ids"].shape[1]
    return {name: np.pad(array, ((0, 0), (0, missing))) for name, array in inputs.items()}


def only(inputs: Tensors, row: int) -> Tensors:
    """One row alone."""
    return {name: array[row : row + 1] for name, array in inputs.items()}


def worst_difference(some: Mapping[str, object], others: Mapping[str, object]) -> float:
    """The largest difference over all outputs."""
    return max(
        float(np.abs(np.asarray(some[name]) - np.asarray(others[name])).max()) for name in some
    )
