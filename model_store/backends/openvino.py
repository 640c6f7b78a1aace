"""OpenVINO: the fp32 ONNX file on the CPU, computed in fp32 or, where the CPU has it, in bf16.

Kernels are generated and kept for every shape that is met: about 1 MiB each for a MiniLM, and tens
of milliseconds the first time. Callers pad tokens to few lengths; here rows are filled up to few
counts, so that the shapes, and with them memory and first-time costs, are bounded.
"""

import queue
from pathlib import Path
from typing import Any

import numpy as np

from contracts.errors import CheckpointError
from contracts.tensors import Array, Tensors
from model_store.backends.base import check_inputs

ROW_COUNTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""Row counts that are run; a batch is filled up to the next, or to a multiple of the last."""

PRECISIONS = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoBackend:
    """A compiled model with one inference request per stream."""

    name = "openvino"
    device = "cpu"
    batchable = True

    def __init__(self, path: Path, precision: str, compiled: Any, streams: int) -> None:
        """Wrap a compiled model; see ``open_openvino``."""
        self.precision = precision
        self.bytes = path.stat().st_size
        self.input_names = frozenset(port.get_any_name() for port in compiled.inputs)
        self._names = [port.get_any_name() for port in compiled.outputs]
        self._compiled: Any = compiled
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(streams):
            self._requests.put(compiled.create_infer_request())

    def run(self, inputs: Tensors) -> Tensors:
        """Execute one padded batch."""
        rows = inputs["input_ids"].shape[0]
        spare = rounded_rows(rows) - rows
        feeds = {name: _filled(inputs[name], spare) for name in self.input_names}
        request = self._requests.get()
        try:
            request.infer(feeds, share_inputs=True)
            # The request reuses its output memory at the next call, so the values are copied.
            return {
                name: np.array(request.get_output_tensor(index).data[:rows], dtype=np.float32)
                for index, name in enumerate(self._names)
            }
        finally:
            self._requests.put(request)

    def close(self) -> None:
        """Free the requests and the compiled model."""
        self._requests = queue.SimpleQueue()
        self._compiled = None


def open_openvino(
    path: Path,
    *,
    precision: str = "fp32",
    threads: int = 1,
    streams: int = 1,
    cache_folder: Path | None = None,
) -> OpenVinoBackend:
    """Compile an ONNX file.

    Args:
        path: the fp32 ONNX file.
        precision: ``fp32`` or ``bf16``.
        threads: compute threads of each stream.
        streams: callers at once.
        cache_folder: where the compiled model is kept for the next start; None: nowhere.

    Raises:
        CheckpointError: OpenVINO refuses the file, or the CPU has no bf16.
    """
    import openvino as ov

    if precision not in PRECISIONS:
        raise CheckpointError(f"OpenVINO has no {precision} here; use fp32 or bf16.")
    core = ov.Core()
    wanted = PRECISIONS[precision]
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise CheckpointError("This CPU has no bf16 instructions; use --precision fp32.")
    try:
        compiled = core.compile_model(
            str(path), "CPU", compile_options(wanted, threads, cache_folder, streams)
        )
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} cannot be compiled by OpenVINO {ov.__version__}: "
            f"{str(error).strip().splitlines()[-1]}"
        ) from error
    check_inputs(path, [port.get_any_name() for port in compiled.inputs])
    return OpenVinoBackend(path, precision, compiled, streams)


def rounded_rows(rows: int) -> int:
    """The row count that a batch is filled up to; see ``ROW_COUNTS``."""
    for count in ROW_COUNTS:
        if rows <= count:
            return count
    return -(-rows // ROW_COUNTS[-1]) * ROW_COUNTS[-1]


def _filled(array: Array, spare: int) -> Array:
    """The rows, and ``spare`` copies of the last."""
    return np.pad(array, ((0, spare), (0, 0)), mode="edge") if spare else array


def compile_options(
    hint: str, threads: int, cache_folder: Path | None, streams: int = 1
) -> dict[str, Any]:
    """OpenVINO's settings for dynamic shapes, and ``streams`` callers with ``threads`` each."""
    options: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": threads * streams,
        "NUM_STREAMS": streams,
    }
    if cache_folder is not None:
        options["CACHE_DIR"] = str(cache_folder)
    return options
