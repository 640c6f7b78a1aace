"""Providers and their arguments, decided without the device."""

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from contracts.errors import CheckpointError
from model_store.backends.onnxruntime import (
    is_dynamic_int8,
    open_onnxruntime,
    providers,
)
from tests.model_store.backends.graphs import tiny_graphs

CPU, CUDA, TRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"


def names(device: str, available: list[str], precision: str, cache: Path | None) -> list[str]:
    return [name for name, _ in providers(device, available, precision, cache)]


def test_providers_in_order_of_preference(tmp_path: Path) -> None:
    assert names("cpu", [TRT, CUDA, CPU], "fp32", tmp_path) == [CPU]
    assert names("cuda", [CUDA, CPU], "fp32", tmp_path) == [CUDA, CPU]
    assert names("cuda", [TRT, CUDA, CPU], "fp32", None) == [CUDA, CPU]
    assert names("cuda", [TRT, CUDA, CPU], "fp16", tmp_path) == [TRT, CUDA, CPU]


@pytest.mark.parametrize(
    ("device", "available", "precision"),
    [("cpu", [CPU], "bf16"), ("cuda", [CPU], "fp32"), ("cuda", [CUDA, CPU], "fp16")],
)
def test_what_no_provider_can_do_is_refused(
    device: str, available: list[str], precision: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="use"):
        providers(device, available, precision, tmp_path)


def test_cuda_keeps_fp32_and_tensorrt_keeps_its_engines(tmp_path: Path) -> None:
    options = dict(providers("cuda", [TRT, CUDA, CPU], "bf16", tmp_path))
    assert options[CUDA]["use_tf32"] == "0"
    assert options[TRT]["trt_bf16_enable"]
    assert not options[TRT]["trt_fp16_enable"]
    assert options[TRT]["trt_engine_cache_path"] == str(tmp_path)


def _graph(path: Path, operator: str, input_name: str) -> Path:
    """A graph of one operator, so that a session can be refused for what it is."""
    node = helper.make_node(operator, [input_name], ["logits"])
    kind = TensorProto.INT64
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info(input_name, kind, ["rows", "tokens"])],
        [helper.make_tensor_value_info("logits", kind, ["rows", "tokens"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.save(model, str(path))
    return path


def test_dynamic_int8_is_recognised(tmp_path: Path) -> None:
    assert is_dynamic_int8(_graph(tmp_path / "a.onnx", "DynamicQuantizeLinear", "input_ids"))
    assert not is_dynamic_int8(tiny_graphs().fp32)


def test_a_graph_with_an_unknown_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="pixel_values"):
        open_onnxruntime(_graph(tmp_path / "a.onnx", "Identity", "pixel_values"))


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"not a graph")
    with pytest.raises(CheckpointError, match=r"a\.onnx cannot be loaded by ONNX Runtime"):
        open_onnxruntime(tmp_path / "a.onnx")
