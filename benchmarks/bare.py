"""Engines without anything of ours around them: arrays in, logits out, each as fast as it is.

They set the ceiling that the server is held against, so nothing of ``model_store.backends`` is
used: a backend that wastes time would lower its own ceiling.
"""

from collections.abc import Callable
from pathlib import Path

from benchmarks.checkpoint import CLASSES
from contracts.tasks import Task
from contracts.tensors import Tensors
from model_store.backends.cpu import bf16_is_fast

Run = Callable[[Tensors], object]

FP32_FILE, INT8_FILE = "onnx/model.onnx", "onnx/model_int8.onnx"


def engines() -> tuple[str, ...]:
    """What can run here; bf16 only where the processor multiplies in it."""
    names = ["torch-fp32", "onnxruntime-fp32", "onnxruntime-int8", "openvino-fp32"]
    if bf16_is_fast():
        names += ["torch-bf16", "openvino-bf16"]
    return tuple(sorted([*names, "openvino-int8"]))


def open_bare(folder: Path, task: Task, engine: str, threads: int) -> Run:
    """Load a published version.

    Args:
        folder: of the version, with safetensors and both ONNX files.
        task: chooses the class of transformers.
        engine: ``torch-bf16`` and so on; see ``engines``.
        threads: compute threads.

    Returns:
        A function of one padded batch.
    """
    runtime, _, precision = engine.partition("-")
    opener = {"torch": _torch, "onnxruntime": _onnxruntime, "openvino": _openvino}[runtime]
    return opener(folder, task, precision, threads)


def _torch(folder: Path, task: Task, precision: str, threads: int) -> Run:
    import torch
    import transformers

    torch.set_num_threads(threads)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    model = getattr(transformers, CLASSES[task]).from_pretrained(folder, dtype=dtype).eval()

    @torch.inference_mode()
    def run(inputs: Tensors) -> object:
        outputs = model(**{name: torch.from_numpy(array) for name, array in inputs.items()})
        return [value.float().numpy() for value in outputs.to_tuple()]

    return run


def _onnxruntime(folder: Path, task: Task, precision: str, threads: int) -> Run:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    path = folder / (INT8_FILE if precision == "int8" else FP32_FILE)
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = {one.name for one in session.get_inputs()}
    return lambda inputs: session.run(None, {name: inputs[name] for name in names})


def _openvino(folder: Path, task: Task, precision: str, threads: int) -> Run:
    import openvino as ov

    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
    }
    path = folder / (INT8_FILE if precision == "int8" else FP32_FILE)
    compiled = ov.Core().compile_model(str(path), "CPU", settings)
    request = compiled.create_infer_request()
    names = {port.get_any_name() for port in compiled.inputs}
    outputs = range(len(compiled.outputs))

    def run(inputs: Tensors) -> object:
        request.infer({name: inputs[name] for name in names}, share_inputs=True)
        return [request.get_output_tensor(index).data.copy() for index in outputs]

    return run
