"""Int8 of models that no data are labelled for: those that embed, and masked ones.

Plain texts calibrate it. Embeddings are also compared with those of fp32, which is all that a
search over them depends on; what rounding may do to a masked model, nothing here can say.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from contracts.embeddings import EmbeddingItem, EmbeddingParameters
from contracts.errors import CheckpointError
from contracts.fill_mask import FillMaskItem, FillMaskParameters
from contracts.tasks import Task
from handlers.load import load_handler, load_pipeline
from handlers.pipeline import Pipeline
from handlers.tokenization import TextTokenizer
from model_store.backends.base import BackendChoice
from model_store.manifest import Artifact, Manifest
from model_store.version import ModelVersion
from train.artifacts import ONNX_FP32, ONNX_INT8, compress_int8
from train.measure import BACKENDS, Measured

UNLABELLED = (Task.FEATURE_EXTRACTION, Task.FILL_MASK)

MIN_COSINE = 0.99
"""Of every int8 embedding with its fp32 one: the gate."""
SAFE_COSINE = 0.995
"""Where one is less, modules go back to float: texts to come will be stranger than these."""
CALIBRATION_TEXTS = 200
MEASURED_TEXTS = 200
ALONE_TEXTS = 32
"""Texts that are also embedded alone, to see whether company shows."""


def compress_unlabelled(
    version: ModelVersion, folder: Path, manifest: Manifest, texts: Sequence[str]
) -> tuple[Artifact, list[Measured]]:
    """Write the int8 file; half of the texts calibrate it, the other half measures it.

    Args:
        version: whose copy the folder is.
        folder: with the fp32 ONNX file.
        manifest: of the folder.
        texts: typical ones; see ``read_texts``.

    Returns:
        The artifact, and the measurements: fp32 first; none of a masked model.

    Raises:
        CheckpointError: the graph cannot be quantised.
    """
    typical, held_out = texts[::2][:CALIBRATION_TEXTS], texts[1::2][:MEASURED_TEXTS]
    tokenizer = TextTokenizer.load(folder, manifest.max_tokens)
    handler = load_handler(manifest, tokenizer)
    items = _items(manifest.task, typical, tokenizer)
    compress_int8(folder / ONNX_FP32.path, folder, handler, items, CALIBRATION_TEXTS)
    if manifest.task is not Task.FEATURE_EXTRACTION or not held_out:
        return ONNX_INT8, []
    return _measured_embedder(version, folder, manifest, _items(manifest.task, held_out, tokenizer))


def _measured_embedder(
    version: ModelVersion, folder: Path, manifest: Manifest, items: Sequence[Any]
) -> tuple[Artifact, list[Measured]]:
    """Int8 beside fp32; modules go back to float where an embedding moved too far."""
    reference = version.artifact("torch", "fp32")
    assert reference is not None
    artifacts = [reference, ONNX_INT8]
    draft = ModelVersion(
        version.name, 0, folder, manifest.model_copy(update={"artifacts": artifacts})
    )
    expected, first = _embed(draft, reference, items)

    def cosines() -> tuple[Any, Measured]:
        found, measured = _embed(draft, ONNX_INT8, items)
        return (expected * found).sum(axis=1), measured

    artifact = ONNX_INT8
    found, second = cosines()
    if found.min() < SAFE_COSINE:
        tried = [f"All in int8: {_least(found)}"]
        floats = _put_back(folder, lambda: float(cosines()[0].min()))
        artifact = artifact.model_copy(update={"float_parts": floats})
        found, second = cosines()
        second = replace(second, tried=tried)
    mean, least = float(found.mean()), float(found.min())
    second = replace(second, agreement=mean, dev={"cosine": mean, "least_cosine": least})
    if least < MIN_COSINE:
        second.reasons.append(f"{_least(found)} It must be {MIN_COSINE} or more.")
    return artifact.model_copy(update={"scores": second.scores}), [first, second]


def _least(cosines: Any) -> str:
    return f"The least cosine of an embedding with its fp32 one is {cosines.min():.4f}."


def _put_back(folder: Path, least: Callable[[], float]) -> list[str]:
    """Write the int8 file anew, with what moved an embedding too far in float: the kinds."""
    from model_store.mixed import MixedGraph, name_kinds
    from model_store.sensitivity import put_back

    file = folder / ONNX_INT8.path
    graph = MixedGraph(folder / ONNX_FP32.path, file, naming=name_kinds)
    return put_back(graph, file, least, SAFE_COSINE)


def read_texts(task: Task, path: Path) -> list[str]:
    """The texts of a file that calibrates a model without labels.

    Raises:
        CheckpointError: the file is not one of plain texts, or has none.
    """
    if path.suffix != ".txt":
        raise CheckpointError(
            f"--calibrate {path}: {task} has no labels; give a .txt file with one text per line."
        )
    return read_lines(path)


def read_lines(path: Path) -> list[str]:
    """The texts of a file, one per line.

    Raises:
        CheckpointError: there is no such file, or it has none.
    """
    if not path.is_file():
        raise CheckpointError(f"--calibrate: there is no file {path}.")
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    if not any(lines):
        raise CheckpointError(f"{path} has no text to calibrate with.")
    return [line for line in lines if line]


def _items(task: Task, texts: Sequence[str], tokenizer: TextTokenizer) -> list[Any]:
    if task is Task.FEATURE_EXTRACTION:
        embedding = EmbeddingParameters(normalize=True, long="truncate")
        return [EmbeddingItem(text, embedding) for text in texts]
    filling = FillMaskParameters(long="window")
    return [FillMaskItem(_masked(text, tokenizer.mask or ""), filling) for text in texts]


def _masked(text: str, mask: str) -> str:
    """A text with a mask for the word in its middle."""
    words = text.split()
    words[len(words) // 2] = mask
    return " ".join(words)


def _embed(version: ModelVersion, artifact: Artifact, items: Sequence[Any]) -> tuple[Any, Measured]:
    """Embeddings of one artifact, ``(items, dimensions)``, with what it took."""
    backend: Any = BACKENDS[artifact.format]
    began = time.perf_counter()
    pipeline = load_pipeline(version, BackendChoice(backend, artifact.precision, "cpu"))
    assert isinstance(pipeline, Pipeline)
    loaded = time.perf_counter()
    answers: list[Any] = pipeline(items)
    together = np.stack(answers)
    seconds = time.perf_counter() - loaded
    lone: list[Any] = [pipeline([item])[0] for item in items[:ALONE_TEXTS]]
    alone = np.stack(lone)
    measured = Measured(
        artifact,
        dev={"cosine": 1.0},
        test={},
        agreement=1.0,
        bytes=pipeline.backend.bytes,
        items_per_s=len(items) / seconds,
        load_s=loaded - began,
    )
    if artifact.precision == "int8" and not np.array_equal(alone, together[: len(alone)]):
        measured.reasons.append("An embedding depends on the texts that share its batch.")
    pipeline.close()
    return together, measured
