"""Writing one torch module as one ONNX file: what every export shares."""

import contextlib
import io
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contracts.errors import CheckpointError, first_line
from contracts.extras import require
from contracts.tensors import Array

if TYPE_CHECKING:
    import torch

OPSET = 23
"""The first opset with an ``Attention`` operator: one node per layer instead of a chain."""

TOLERANCE = 1e-4
"""Largest difference of a number between torch and the exported file, relative above 1."""

MAX_FILE_BYTES = 2**31 - 1
"""Protobuf's limit for one file."""


def check_size(model: Any, folder: Path) -> None:
    """Refuse a model whose weights no ONNX file holds.

    Raises:
        CheckpointError: it is too large.
    """
    size = sum(each.numel() * each.element_size() for each in model.parameters())
    if size > MAX_FILE_BYTES:
        raise CheckpointError(
            f"{folder} has {size >> 20} MiB of weights, more than one ONNX file holds; use "
            "--backend torch."
        )


def write_graph(
    graph: "torch.nn.Module",
    path: Path,
    *,
    name: str,
    inputs: dict[str, Any],
    dynamic: dict[str, Any],
    outputs: Sequence[str],
    input_names: Sequence[str] | None = None,
    opset: int = OPSET,
) -> None:
    """Export a module with dynamic shapes.

    Args:
        graph: in evaluation mode; takes ``inputs`` by name and returns a tuple.
        path: the file to write.
        name: of the model, for the error's sentence.
        inputs: samples: tensors, or lists of tensors.
        dynamic: by input, which axes vary, as ``torch.export`` wants it.
        outputs: their names.
        input_names: of the flattened inputs; default: the names of ``inputs``.
        opset: of the ONNX standard operators.

    Raises:
        CheckpointError: the exporter refuses.
    """
    import torch

    with _quiet():
        try:
            program = torch.onnx.export(
                graph,
                (),
                kwargs=inputs,
                dynamo=True,
                opset_version=opset,
                dynamic_shapes=dynamic,
                input_names=input_names,
                output_names=list(outputs),
                optimize=True,
                external_data=False,
                verbose=False,
            )
        except Exception as error:  # the exporter raises what it finds, of any class
            raise CheckpointError(
                f"{name} cannot be exported to ONNX ({innermost(error)}); use --backend torch."
            ) from error
        assert program is not None
        program.save(str(path), external_data=False)


def worst_excess(found: Array, expected: Array) -> float:
    """The largest difference, relative above 1; infinite where shapes differ."""
    if found.shape != expected.shape:
        return np.inf
    if not expected.size:
        return 0.0
    return float((np.abs(found - expected) / np.maximum(1.0, np.abs(expected))).max())


def innermost(error: BaseException) -> str:
    """The first line of the innermost cause: the outer ones only name the exporter's steps."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)


def run_child(module: str, arguments: Sequence[str]) -> None:
    """Run a module of ours in a process of its own: torch and its threads end with it.

    Raises:
        CheckpointError: with the child's last sentence.
    """
    require("torch", "transformers", "onnx", "onnxscript")
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise CheckpointError(lines[-1])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's talk off stdout, warnings and log; what goes wrong is raised anyway."""
    exporter = logging.getLogger("torch.onnx")
    before = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        exporter.setLevel(before)
