"""ONNX Runtime: fp32 and static int8 graphs on the CPU, CUDA and TensorRT.

Which providers a session gets, and with which arguments, is decided by pure functions, so that it
can be tested on a machine without the device.
"""

from collections.abc import Sequence
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np

from contracts.errors import CheckpointError, first_line
from contracts.tensors import Tensors
from model_store.backends.base import check_inputs

Provider = tuple[str, dict[str, Any]]

DYNAMIC_MARKS = (b"DynamicQuantizeLinear", b"DynamicQuantizeMatMul")
"""Operators whose activation scale spans the batch, so that a row depends on its neighbours."""


class OnnxRuntimeBackend:
    """An ONNX Runtime session."""

    name = "onnxruntime"

    def __init__(self, path: Path, precision: str, device: str, session: Any) -> None:
        """Wrap a session; see ``open_onnxruntime``."""
        self.precision = precision
        self.device = device
        self.bytes = path.stat().st_size
        self.input_names = frozenset(each.name for each in session.get_inputs())
        self.batchable = not is_dynamic_int8(path)
        self._outputs = [each.name for each in session.get_outputs()]
        self._session: Any = session

    def run(self, inputs: Tensors) -> Tensors:
        """Execute one padded batch."""
        feeds = {name: inputs[name] for name in self.input_names}
        values = (
            self._session.run(self._outputs, feeds) if self.device == "cpu" else self._bound(feeds)
        )
        return {
            name: value.astype(np.float32, copy=False)
            for name, value in zip(self._outputs, values, strict=True)
        }

    def close(self) -> None:
        """Free the session with its weights, arena and threads."""
        self._session = None

    def _bound(self, feeds: Tensors) -> Sequence[Any]:
        """Run with inputs and outputs bound, so that each crosses to the device and back once."""
        binding = self._session.io_binding()
        for name, array in feeds.items():
            binding.bind_cpu_input(name, array)
        for name in self._outputs:
            binding.bind_output(name, self.device)
        self._session.run_with_iobinding(binding)
        values: Sequence[Any] = binding.copy_outputs_to_cpu()
        return values


def open_onnxruntime(
    path: Path,
    *,
    precision: str = "fp32",
    device: str = "cpu",
    threads: int = 1,
    engine_cache: Path | None = None,
) -> OnnxRuntimeBackend:
    """Create a session.

    Args:
        path: the ONNX file.
        precision: ``fp32`` or ``int8``, what the file holds; ``fp16`` and ``bf16`` by TensorRT.
        device: ``cpu`` or ``cuda``.
        threads: of this session; with one, it runs in the caller's.
        engine_cache: where TensorRT keeps the engines it builds; None: it is not used.

    Raises:
        CheckpointError: the file is refused, or the device's provider does not start.
    """
    session = open_session(
        path, precision=precision, device=device, threads=threads, engine_cache=engine_cache
    )
    check_inputs(path, [each.name for each in session.get_inputs()])
    return OnnxRuntimeBackend(path, precision, device, session)


def open_session(
    path: Path, *, precision: str, device: str, threads: int, engine_cache: Path | None = None
) -> Any:
    """An ``InferenceSession``, whatever its graph takes; see ``open_onnxruntime``."""
    import onnxruntime as ort

    wanted = providers(device, ort.get_available_providers(), precision, engine_cache)
    try:
        session = ort.InferenceSession(
            str(path), _session_options(ort, device, threads), providers=wanted
        )
    except Exception as error:  # ONNX Runtime raises classes of its own without a common base
        raise CheckpointError(
            f"{path} cannot be loaded by ONNX Runtime {ort.__version__}: {first_line(error)}"
        ) from error
    if device == "cuda" and session.get_providers()[0] == "CPUExecutionProvider":
        raise CheckpointError(
            "ONNX Runtime's CUDA provider did not start (its log says why); install its CUDA and "
            "cuDNN libraries, or use --device cpu."
        )
    return session


def providers(
    device: str, available: Sequence[str], precision: str, engine_cache: Path | None
) -> list[Provider]:
    """Execution providers in order of preference, with their arguments.

    Args:
        device: ``cpu`` or ``cuda``.
        available: what this build of ONNX Runtime has.
        precision: ``fp32``, ``int8``, ``fp16`` or ``bf16``.
        engine_cache: TensorRT's folder; None: no TensorRT.

    Raises:
        CheckpointError: the build has no provider for the device or the precision.
    """
    cpu: Provider = ("CPUExecutionProvider", {"arena_extend_strategy": "kSameAsRequested"})
    if device == "cpu":
        if precision not in ("fp32", "int8"):
            raise CheckpointError(f"ONNX Runtime has no {precision} on the CPU; use fp32 or int8.")
        return [cpu]
    if "CUDAExecutionProvider" not in available:
        raise CheckpointError(
            "This ONNX Runtime has no CUDA provider; install onnxruntime-gpu, or use --device cpu."
        )
    chosen: list[Provider] = []
    if engine_cache is not None and "TensorrtExecutionProvider" in available:
        chosen.append(("TensorrtExecutionProvider", tensorrt_options(precision, engine_cache)))
    elif precision not in ("fp32", "int8"):
        raise CheckpointError(
            f"ONNX Runtime runs {precision} through TensorRT only, which is not installed; "
            "use --backend torch."
        )
    cuda = {
        "device_id": 0,
        # Lengths vary, so growing to the next power of two would keep memory that nobody uses.
        "arena_extend_strategy": "kSameAsRequested",
        # An exhaustive search would be repeated at every new shape.
        "cudnn_conv_algo_search": "HEURISTIC",
        # TF32 keeps ten bits of mantissa: no longer the fp32 that was promised.
        "use_tf32": "0",
    }
    return [*chosen, ("CUDAExecutionProvider", cuda), cpu]


def tensorrt_options(precision: str, engine_cache: Path) -> dict[str, Any]:
    """TensorRT's arguments: one engine for all shapes, kept between starts."""
    return {
        "device_id": 0,
        "trt_fp16_enable": precision == "fp16",
        "trt_bf16_enable": precision == "bf16",
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(engine_cache),
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": str(engine_cache),
        "trt_profile_min_shapes": _shapes(1, 8),
        "trt_profile_opt_shapes": _shapes(16, 64),
        "trt_profile_max_shapes": _shapes(128, 512),
    }


def is_dynamic_int8(path: Path) -> bool:
    """Whether a graph computes its activation scales while it runs."""
    # Operators are named in the file as plain text; to parse it would cost as much as loading it.
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        return any(content.find(mark) >= 0 for mark in DYNAMIC_MARKS)


def _shapes(rows: int, tokens: int) -> str:
    return f"input_ids:{rows}x{tokens},attention_mask:{rows}x{tokens}"


def _session_options(ort: Any, device: str, threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads if device == "cpu" else 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    # A spinning pool burns the cores that HTTP and tokenising need, and an idle server's too.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # Plans are kept per shape; shapes come from few buckets and many row counts.
    options.enable_mem_pattern = False
    return options
