"""Which architectures run where: every tiny checkpoint, exported, quantised and compared.

``python -m benchmarks.architectures [--only bert,albert]`` prints the table of
``docs/backends.md``: the largest difference of a logit from fp32 torch, or the sentence with which
a backend refuses. Takes some minutes.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from contracts.errors import CheckpointError
from contracts.tasks import Task
from contracts.tensors import Tensors
from model_store.backends.base import Backend
from model_store.backends.onnxruntime import open_onnxruntime
from model_store.backends.openvino import open_openvino
from model_store.backends.torch import open_torch
from model_store.compress import quantize_static
from model_store.export import export_onnx, sample_inputs
from model_store.files import read_json
from tests.models import ARCHITECTURES, tiny_checkpoint

TASKS = (Task.TEXT_CLASSIFICATION, Task.TOKEN_CLASSIFICATION, Task.QUESTION_ANSWERING)
COLUMNS = (
    "torch bf16",
    "ONNX Runtime fp32",
    "OpenVINO fp32",
    "OpenVINO bf16",
    "ONNX Runtime int8",
    "int8 alone / in a batch",
)


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(ARCHITECTURES))
    names = parser.parse_args().only.split(",")
    print("| architecture | task |", " | ".join(COLUMNS), "|")
    print("|---|---|" + "---|" * len(COLUMNS))
    with tempfile.TemporaryDirectory() as root:
        for name in names:
            for task in TASKS:
                row = compare(tiny_checkpoint(Path(root, name, task), name, task), task)
                print(f"| {name} | {task} |", " | ".join(row), "|", flush=True)


def compare(folder: Path, task: Task) -> list[str]:
    """The cells of one checkpoint, in the order of ``COLUMNS``."""
    config = read_json(folder / "config.json")
    vocabulary, pad_id = config["vocab_size"], config["pad_token_id"]
    inputs = sample_inputs(vocabulary, 16, 32, pad_id=pad_id)
    reference = _run(open_torch(folder, task), inputs, task)

    def cell(opener: Callable[[], Backend]) -> str:
        try:
            outputs = _run(opener(), inputs, task)
        except CheckpointError as error:
            return str(error)
        return f"{_difference(reference, outputs):.1g}"

    cells = [cell(lambda: open_torch(folder, task, precision="bf16"))]
    fp32, int8 = folder / "onnx/model.onnx", folder / "onnx/model_int8.onnx"
    try:
        export_onnx(folder, task, fp32)
    except CheckpointError as error:
        return cells + [str(error)] * (len(COLUMNS) - 1)
    cells.append(cell(lambda: open_onnxruntime(fp32)))
    cells.append(cell(lambda: open_openvino(fp32)))
    cells.append(cell(lambda: open_openvino(fp32, precision="bf16")))
    texts = [sample_inputs(vocabulary, 1, 8 + seed, pad_id=pad_id, seed=seed) for seed in range(20)]
    try:
        quantize_static(fp32, int8, texts)
    except CheckpointError as error:
        return [*cells, str(error), ""]
    backend = open_onnxruntime(int8, precision="int8")
    together = _run(backend, inputs, task)
    rows = [{key: array[row : row + 1] for key, array in inputs.items()} for row in range(16)]
    alone = [_run(backend, row, task) for row in rows]
    joined = {name: np.concatenate([each[name] for each in alone]) for name in together}
    return [
        *cells,
        f"{_difference(reference, together):.1g}",
        f"{_difference(together, joined):.1g}",
    ]


def _run(backend: Backend, inputs: Tensors, task: Task) -> Tensors:
    """Outputs of real tokens only: what a graph gives for padding means nothing."""
    outputs = backend.run(inputs)
    if task is Task.TEXT_CLASSIFICATION:
        return outputs
    mask = inputs["attention_mask"].astype(bool)
    return {name: array[mask] for name, array in outputs.items()}


def _difference(some: Tensors, others: Tensors) -> float:
    return max(float(np.abs(some[name] - others[name]).max()) for name in some)


if __name__ == "__main__":
    main()
