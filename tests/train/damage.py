"""Versions and artifacts that the gate must refuse."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from model_store.copying import copy_checkpoint
from model_store.manifest import Manifest
from model_store.store import Store
from model_store.version import ModelVersion


def noise_weights(path: Path) -> None:
    """Damage an ONNX file: every integer weight matrix is shuffled."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path)
    draw = np.random.default_rng(0)
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.int8 and array.ndim == 2:
            shuffled = draw.permutation(array.ravel()).reshape(array.shape)
            tensor.CopyFrom(numpy_helper.from_array(shuffled, tensor.name))
    onnx.save(model, path)


def quantize_dynamic(fp32: Path, path: Path) -> None:
    """The int8 form that is quick to make and computes its scales over the whole batch."""
    import onnx
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization import quantize_dynamic as dynamic

    model = onnx.load(fp32)
    del model.graph.value_info[:]  # the exporter's notes of shapes, which go stale
    dynamic(model, path, op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8)


def changed_copy(
    store: Store, version: ModelVersion, change: Callable[[Path], None] = lambda _: None
) -> ModelVersion:
    """Publish a version again with something changed in its folder."""

    def build(folder: Path) -> Manifest:
        manifest = copy_checkpoint(version, folder)
        change(folder)
        return manifest

    return store.publish(version.name, build)


def turn_round(folder: Path) -> None:
    """Give a checkpoint's head the wrong sign, so that it answers the opposite."""
    from safetensors.numpy import load_file, save_file

    path = folder / "model.safetensors"
    tensors = load_file(path)
    for name in tensors:
        if name.startswith("classifier"):
            tensors[name] = -tensors[name]
    save_file(tensors, path, metadata={"format": "pt"})


def truncate(path: Path) -> None:
    """Cut a file in half, as a full disk does."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def hostile_to_int8(folder: Path, layer: int, factor: float = 2.0**12) -> None:
    """Give one layer of a BERT checkpoint a few huge weights, which leave the others no bits.

    Its queries are sharpened, so that it matters where they look. Then one channel of each head is
    multiplied in the queries and divided in the keys, which changes nothing in fp32 (a power of
    two does not round). But nncf gives no channel of a weight a scale below a hundredth of the
    largest, so all others in the queries, and this one in the keys, keep two bits.
    """
    from safetensors.numpy import load_file, save_file

    path = folder / "model.safetensors"
    tensors = load_file(path)
    heads, channels = 2, 16
    for name, by in (("query", factor), ("key", 1 / factor)):
        scale = np.ones((heads, channels), dtype=np.float32)
        scale[:, 0] = by
        scale *= 4.0 if name == "query" else 1.0
        for kind in ("weight", "bias"):
            (full,) = (
                one for one in tensors if f"layer.{layer}.attention.self.{name}.{kind}" in one
            )
            array = tensors[full]
            tensors[full] = array * scale.reshape(-1, *[1] * (array.ndim - 1))
    save_file(tensors, path, metadata={"format": "pt"})
