"""From a generating checkpoint to two ONNX files: its encoder, and one step of its decoder.

``encoder.onnx``: ``input_ids`` and ``attention_mask`` -> ``cross_key_0``, ``cross_value_0``, ...

``decoder.onnx``: ``input_ids`` ``(rows, 1)``, ``positions`` ``(rows,)`` (where the architecture
counts any), ``past_mask`` ``(rows, past)``, ``source_mask`` ``(rows, source)``, the cache
``past_key_0``, ``past_value_0``, ... ``(rows, heads, past, dim)`` and the encoder's outputs ->
``logits`` ``(rows, vocabulary)`` and the cache's new column ``key_0``, ``value_0``, ... ``(rows,
heads, 1, dim)``. Ids, positions and masks are int64, the rest is float32. The newest column of
the past stands last; ``past`` may be 0.

Runs in a process of its own where a server is the caller (``python -m
model_store.seq2seq_export``), as ``model_store.export`` does.
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
from model_store.export import sample_inputs
from model_store.graphs import (
    TOLERANCE,
    check_size,
    innermost,
    run_child,
    worst_excess,
    write_graph,
)

if TYPE_CHECKING:
    from model_store.backends.seq2seq.steps import EncoderGraph, StepGraph

ENCODER, DECODER = "encoder.onnx", "decoder.onnx"

ENCODER_SHAPES = ((1, 8), (5, 33), (2, 70))
"""Rows and tokens that the encoder is compared at; cut to what the model accepts."""

DECODER_SHAPES = ((1, 0, 8), (1, 1, 5), (3, 1, 17), (5, 9, 33))
"""Rows, past columns and source tokens that the decoder is compared at."""


def export_seq2seq(folder: Path, destination: Path) -> Path:
    """Export a checkpoint as ``encoder.onnx`` and ``decoder.onnx``, in fp32.

    Both appear under their names only once they have been compared with torch, the decoder last.

    Args:
        folder: with ``config.json`` and safetensors.
        destination: the folder for the two files; it is made.

    Returns:
        ``destination``.

    Raises:
        CheckpointError: the architecture cannot be exported, or a file differs from torch.
    """
    import torch

    from model_store.backends.seq2seq.steps import EncoderGraph, StepGraph

    torch.manual_seed(0)
    model = load_model(folder, Task.TEXT2TEXT_GENERATION)
    # Where a bias of attention could be learned, torch traces another kernel, which ONNX lacks.
    model.requires_grad_(False)
    check_size(model, folder)
    encoder, step = EncoderGraph(model).eval(), StepGraph(model).eval()
    destination.mkdir(parents=True, exist_ok=True)
    fresh = {name: destination / f".{name}.{os.getpid()}.new" for name in (ENCODER, DECODER)}
    try:
        _write_encoder(encoder, fresh[ENCODER])
        _compare_encoder(encoder, fresh[ENCODER], folder)
        _write_decoder(step, fresh[DECODER])
        _compare_decoder(step, fresh[DECODER], folder)
        for name, path in fresh.items():
            path.replace(destination / name)
    finally:
        for path in fresh.values():
            path.unlink(missing_ok=True)
    return destination


def export_seq2seq_in_process(folder: Path, destination: Path) -> Path:
    """``export_seq2seq`` in a child process: torch and its threads end with it.

    Raises:
        CheckpointError: with the child's sentence.
    """
    run_child(__name__, [str(folder), str(destination)])
    return destination


def pair_names(prefix: str, layers: int) -> list[str]:
    """``key_0``, ``value_0``, ``key_1``, ... behind a prefix: how both graphs order a cache."""
    return [f"{prefix}{part}_{layer}" for layer in range(layers) for part in ("key", "value")]


def sample_step(graph: "StepGraph", rows: int, past: int, source: int, *, seed: int = 0) -> Tensors:
    """Random inputs of one decoder step, with masked columns in every row but the first.

    Returns:
        By the names of ``decoder.onnx``.
    """
    shape, random = graph.shape, np.random.default_rng(seed)
    lengths = np.append(past, random.integers(0, past + 1, rows - 1))
    sources = np.append(source, random.integers(1, source + 1, rows - 1))
    inputs: Tensors = {
        "input_ids": random.integers(3, _vocabulary(graph.model), (rows, 1)).astype(IDS),
        "past_mask": (np.arange(past) >= past - lengths[:, None]).astype(IDS),
        "source_mask": (np.arange(source) < sources[:, None]).astype(IDS),
    }
    for prefix, columns in (("past_", past), ("cross_", source)):
        for name in pair_names(prefix, shape.layers):
            drawn = random.standard_normal((rows, shape.heads, columns, shape.dim))
            inputs[name] = drawn.astype(np.float32)
    if shape.has_positions:
        inputs["positions"] = lengths.astype(IDS)
    return inputs


def _write_encoder(graph: "EncoderGraph", path: Path) -> None:
    import torch

    sample = _source(graph.model, 3, 24)
    axes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    write_graph(
        graph,
        path,
        name=type(graph.model).__name__,
        inputs={name: torch.from_numpy(array) for name, array in sample.items()},
        dynamic=dict.fromkeys(sample, axes),
        outputs=pair_names("cross_", graph.shape.layers),
    )


def _write_decoder(graph: "StepGraph", path: Path) -> None:
    import torch

    shape, dynamic = graph.shape, torch.export.Dim.DYNAMIC
    inputs = _by_argument(graph, sample_step(graph, 3, 5, 20))
    axes = {
        "input_ids": {0: dynamic},
        "past_mask": {0: dynamic, 1: dynamic},
        "source_mask": {0: dynamic, 1: dynamic},
        "past": [{0: dynamic, 2: dynamic}] * (2 * shape.layers),
        "cross": [{0: dynamic, 2: dynamic}] * (2 * shape.layers),
        "positions": {0: dynamic},
    }
    names = ["input_ids", "past_mask", "source_mask"]
    names += pair_names("past_", shape.layers) + pair_names("cross_", shape.layers)
    if shape.has_positions:
        names.append("positions")
    write_graph(
        graph,
        path,
        name=type(graph.model).__name__,
        inputs=inputs,
        dynamic={name: axes[name] for name in inputs},
        input_names=names,
        outputs=["logits", *pair_names("", shape.layers)],
    )


def _by_argument(graph: "StepGraph", inputs: Tensors) -> dict[str, Any]:
    """The file's inputs as the arguments of ``StepGraph``."""
    import torch

    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    arguments: dict[str, Any] = {
        name: tensors[name] for name in ("input_ids", "past_mask", "source_mask")
    }
    for argument in ("past", "cross"):
        names = pair_names(f"{argument}_", graph.shape.layers)
        arguments[argument] = [tensors[name] for name in names]
    if "positions" in tensors:
        arguments["positions"] = tensors["positions"]
    return arguments


def _compare_encoder(graph: "EncoderGraph", path: Path, folder: Path) -> None:
    import torch

    for rows, tokens in ENCODER_SHAPES:
        inputs = _source(graph.model, rows, min(tokens, _max_source(graph.model)))
        with torch.inference_mode():
            expected = graph(**{name: torch.from_numpy(each) for name, each in inputs.items()})
        mask = inputs["attention_mask"].astype(bool)
        names = pair_names("cross_", graph.shape.layers)
        found = _run(path, inputs, names, folder)
        for mine, theirs in zip(found, expected, strict=True):
            # (rows, heads, source, dim): what stands at padding is never read.
            pair = [each.swapaxes(1, 2)[mask] for each in (mine, theirs.numpy())]
            _check(worst_excess(*pair), folder, path, f"{rows} rows of {tokens} tokens")


def _compare_decoder(graph: "StepGraph", path: Path, folder: Path) -> None:
    import torch

    names = ["logits", *pair_names("", graph.shape.layers)]
    for rows, past, source in DECODER_SHAPES:
        inputs = sample_step(graph, rows, past, source)
        with torch.inference_mode():
            expected = graph(**_by_argument(graph, inputs))
        found = _run(path, inputs, names, folder)
        for mine, theirs in zip(found, expected, strict=True):
            where = f"{rows} rows after {past} tokens"
            _check(worst_excess(mine, theirs.numpy()), folder, path, where)


def _run(path: Path, inputs: Tensors, outputs: list[str], folder: Path) -> list[Any]:
    import onnxruntime as ort
    import torch

    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        values: list[Any] = session.run(outputs, inputs)
    except Exception as error:  # ONNX Runtime raises classes of its own without a common base
        raise CheckpointError(
            f"{folder}: the exported ONNX file does not run ({innermost(error)}); use "
            "--backend torch."
        ) from error
    return values


def _check(worst: float, folder: Path, path: Path, where: str) -> None:
    if not worst <= TOLERANCE:
        part = path.name.split(".")[1]
        raise CheckpointError(
            f"{folder}: the exported ONNX {part} differs from torch by {worst:.2g} at {where}; "
            "use --backend torch."
        )


def _source(model: Any, rows: int, tokens: int) -> Tensors:
    encoder = model.get_encoder().config
    padding = getattr(encoder, "pad_token_id", None)
    inputs = sample_inputs(encoder.vocab_size, rows, tokens, pad_id=padding or 0)
    return {name: inputs[name] for name in ("input_ids", "attention_mask")}


def _vocabulary(model: Any) -> int:
    return int(model.get_decoder().config.vocab_size)


def _max_source(model: Any) -> int:
    positions = getattr(model.get_encoder().config, "max_position_embeddings", None)
    return max(8, (positions or 512) - 8)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("destination", type=Path)
    arguments = parser.parse_args()
    try:
        export_seq2seq(arguments.folder, arguments.destination)
    except CheckpointError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    _main()
