"""Which parts of an int8 graph hurt most: measured, one part at a time."""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from contracts.errors import CheckpointError
from contracts.tensors import Tensors
from model_store.backends.onnxruntime import open_onnxruntime
from model_store.compress import single_rows
from model_store.mixed import MixedGraph

ROWS = 32
"""Rows that every graph answers: a part that ruins a model stands out after a few."""


def noise_by_part(
    graph: MixedGraph, calibration: Iterable[Tensors], *, rows: int = ROWS
) -> dict[str, float]:
    """How much each part alone, with all others in float, moves the outputs away from fp32.

    Args:
        graph: says the parts.
        calibration: inputs of typical texts, as for the quantiser.
        rows: how many of them are used.

    Returns:
        Per part the mean square of what it adds to the outputs, divided by their variance in fp32
        (0: nothing; 1: as much noise as signal); the noisiest part first.

    Raises:
        CheckpointError: no rows, or a graph that cannot be loaded or run.
    """
    expected, inputs = _reference(graph.fp32, calibration, rows)
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        for part in graph.parts:
            graph.write([other for other in graph.parts if other != part], path)
            noise = _noise(expected, _outputs(path, inputs))
            found[part] = noise if np.isfinite(noise) else np.inf
    return dict(sorted(found.items(), key=lambda one: -one[1]))


def attempts(parts: Sequence[str]) -> list[list[str]]:
    """What to keep in float, one after the other: the first part, then a quarter, then half.

    A graph with more than half in float is hardly an int8 graph; with one part there is no half.

    Args:
        parts: the noisiest first.
    """
    half = len(parts) // 2
    counts = sorted({1, min(half, max(2, len(parts) // 4)), half})
    return [list(parts[:count]) for count in counts if half]


def put_back(
    graph: MixedGraph, destination: Path, score: Callable[[], float], enough: float
) -> list[str]:
    """Keep in float, one after the other, the part that raises a score most, until it is enough.

    Args:
        graph: says the parts; its files stay as they are.
        destination: where each trial is written, and in the end the last one that was chosen.
        score: of the file at the destination.
        enough: the score to reach.

    Returns:
        The parts in float, the most helpful first: at most half of them, whether that was enough
        or not.
    """
    floats: list[str] = []
    best = -np.inf
    while best < enough and len(floats) < len(graph.parts) // 2:
        scores = {}
        for part in graph.parts:
            if part not in floats:
                graph.write([*floats, part], destination)
                scores[part] = score()
        chosen = max(scores, key=lambda part: scores[part])
        floats.append(chosen)
        best = scores[chosen]
    graph.write(floats, destination)
    return floats


def _reference(
    fp32: Path, calibration: Iterable[Tensors], rows: int
) -> tuple[list[Tensors], list[Tensors]]:
    """What fp32 answers, row by row, and the rows."""
    backend = open_onnxruntime(fp32)
    inputs = list(islice(single_rows(calibration, set(backend.input_names)), rows))
    backend.close()
    if not inputs:
        raise CheckpointError(f"{fp32} cannot be compared with int8 without a single text.")
    return _outputs(fp32, inputs), inputs


def _outputs(path: Path, inputs: Sequence[Tensors]) -> list[Tensors]:
    """The outputs of each row alone, so that padding has no part in them."""
    backend = open_onnxruntime(path)
    try:
        return [backend.run(row) for row in inputs]
    except Exception as error:  # ONNX Runtime raises classes of its own without a common base
        raise CheckpointError(f"{path} does not run ({error}).") from error
    finally:
        backend.close()


def _noise(expected: Sequence[Tensors], found: Sequence[Tensors]) -> float:
    """The mean over the outputs of noise by signal."""
    shares = []
    for name in expected[0]:
        signal = np.concatenate([row[name].ravel() for row in expected])
        noise = np.concatenate([row[name].ravel() for row in found]) - signal
        shares.append(float(np.mean(noise**2) / max(float(signal.var()), 1e-12)))
    return sum(shares) / len(shares)
