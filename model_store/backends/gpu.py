"""Whether there is a GPU, asked of its driver: importing a framework for it costs seconds."""

import ctypes
import importlib.util


def has_nvidia_gpu() -> bool:
    """Whether CUDA's driver is there and sees a device."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return False
    return count.value > 0


def torch_capability() -> tuple[int, int] | None:
    """The compute capability of the first device, or None where torch cannot use it."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    return torch.cuda.get_device_capability(0) if torch.cuda.is_available() else None


def ort_has_cuda() -> bool:
    """Whether ONNX Runtime is there with a CUDA provider."""
    if importlib.util.find_spec("onnxruntime") is None:
        return False
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()
