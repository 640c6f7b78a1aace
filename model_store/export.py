"""From a checkpoint folder to one ONNX file with dynamic rows and tokens, checked against torch.

Runs in a process of its own where a server is the caller (``python -m model_store.export``), so
that the server's engine never loads torch beside another runtime.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contracts.errors import CheckpointError
from contracts.tasks import Task
from contracts.tensors import IDS, Tensors
from model_store.backends.torch import load_model
from model_store.graphs import (
    OPSET,
    TOLERANCE,
    check_size,
    innermost,
    run_child,
    worst_excess,
    write_graph,
)
from model_store.task_graph import MASK_POSITIONS, OUTPUT_NAMES, graph_inputs, task_graph

if TYPE_CHECKING:
    import torch

PER_TOKEN = (Task.TOKEN_CLASSIFICATION, Task.SUMMARIZATION, Task.QUESTION_ANSWERING)
"""Tasks whose outputs have a token axis; what stands at padding means nothing."""

CHECKED_SHAPES = ((1, 8), (5, 33), (2, 70))
"""Rows and tokens that the exported file is compared at; cut to what the model accepts."""


def export_onnx(folder: Path, task: Task, destination: Path, *, opset: int = OPSET) -> Path:
    """Export a checkpoint as fp32 ONNX with dynamic rows and tokens.

    The file has the inputs of ``graph_inputs`` and the outputs of ``OUTPUT_NAMES``. It appears
    under its name only once it has been compared with torch.

    Args:
        folder: with ``config.json`` and safetensors.
        task: chooses the transformers class.
        destination: the file to write; its folder is made.
        opset: of the ONNX standard operators.

    Returns:
        ``destination``.

    Raises:
        CheckpointError: the architecture cannot be exported, or its file differs from torch.
    """
    import torch

    torch.manual_seed(0)
    model = load_model(folder, task)
    check_size(model, folder)
    destination.parent.mkdir(parents=True, exist_ok=True)
    fresh = destination.with_name(f".{destination.name}.{os.getpid()}.new")
    try:
        graph = task_graph(model, task, folder)
        _write(graph, model, task, fresh, opset)
        _compare(graph, model, task, fresh, folder)
        fresh.replace(destination)
    finally:
        fresh.unlink(missing_ok=True)
    return destination


def export_in_process(folder: Path, task: Task, destination: Path) -> Path:
    """``export_onnx`` in a child process: torch and its threads end with it.

    Raises:
        CheckpointError: with the child's sentence.
    """
    run_child(__name__, [str(folder), str(task), str(destination)])
    return destination


def sample_inputs(
    vocabulary: int, rows: int, tokens: int, *, pad_id: int = 0, seed: int = 0
) -> Tensors:
    """Random ids with padding in every row but the first.

    Returns:
        ``input_ids``, ``attention_mask`` and ``token_type_ids``, int64, ``(rows, tokens)``, and
        ``mask_positions``, ``(rows, 1)``.
    """
    random = np.random.default_rng(seed)
    lengths = np.append(tokens, random.integers(max(1, tokens // 3), tokens + 1, rows - 1))
    mask = (np.arange(tokens) < lengths[:, None]).astype(IDS)
    low = min(pad_id + 1, vocabulary - 1)
    ids = np.where(mask == 1, random.integers(low, vocabulary, (rows, tokens)), pad_id)
    types = (np.arange(tokens) >= lengths[:, None] // 2) * mask
    return {
        "input_ids": ids.astype(IDS),
        "attention_mask": mask,
        "token_type_ids": types.astype(IDS),
        MASK_POSITIONS: (lengths[:, None] // 2).astype(IDS),
    }


def _write(graph: "torch.nn.Module", model: Any, task: Task, path: Path, opset: int) -> None:
    import torch

    names = sorted(graph_inputs(model, task))
    sample = _samples(model, 3, 24)
    rows, tokens = torch.export.Dim.DYNAMIC, torch.export.Dim.DYNAMIC
    write_graph(
        graph,
        path,
        name=type(model).__name__,
        inputs={name: torch.from_numpy(sample[name]) for name in names},
        dynamic={
            name: {0: rows} if name == MASK_POSITIONS else {0: rows, 1: tokens} for name in names
        },
        outputs=OUTPUT_NAMES[task],
        opset=opset,
    )


def _compare(graph: "torch.nn.Module", model: Any, task: Task, path: Path, folder: Path) -> None:
    """Run the file and the model on the same rows.

    Raises:
        CheckpointError: they differ by more than ``TOLERANCE``, or the file does not run.
    """
    import torch

    from model_store.backends.onnxruntime import open_onnxruntime

    session = open_onnxruntime(path, threads=torch.get_num_threads())
    for rows, tokens in CHECKED_SHAPES:
        inputs = _samples(model, rows, min(tokens, _max_tokens(model)))
        with torch.inference_mode():
            answer = graph(**{n: torch.from_numpy(inputs[n]) for n in graph_inputs(model, task)})
        try:
            actual = session.run(inputs)
        except Exception as error:  # ONNX Runtime raises classes of its own without a common base
            raise CheckpointError(
                f"{folder}: the exported ONNX file does not run ({innermost(error)}); use "
                "--backend torch."
            ) from error
        mask = inputs["attention_mask"].astype(bool)
        for name, value in zip(OUTPUT_NAMES[task], answer, strict=True):
            expected, found = value.numpy(), actual[name]
            if task in PER_TOKEN:
                expected, found = expected[mask], found[mask]
            worst = worst_excess(found, expected)
            if not worst <= TOLERANCE:
                raise CheckpointError(
                    f"{folder}: the exported ONNX file differs from torch by {worst:.2g} at "
                    f"{rows} rows of {tokens} tokens; use --backend torch."
                )
    session.close()


def _samples(model: Any, rows: int, tokens: int) -> Tensors:
    padding = getattr(model.config, "pad_token_id", None)
    return sample_inputs(model.config.vocab_size, rows, tokens, pad_id=padding or 0)


def _max_tokens(model: Any) -> int:
    positions = int(getattr(model.config, "max_position_embeddings", 0) or 512)
    # Some architectures count positions from the pad id, so a few of the table are not usable.
    return max(8, positions - 8)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("task", type=Task)
    parser.add_argument("destination", type=Path)
    arguments = parser.parse_args()
    try:
        export_onnx(arguments.folder, arguments.task, arguments.destination)
    except CheckpointError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    _main()
