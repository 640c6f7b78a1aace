"""One suite over every backend: what a handler may rely on, whichever runtime is below."""

import gc
import weakref
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from contracts.tasks import Task
from contracts.tensors import Tensors
from model_store.backends.base import Backend
from model_store.backends.cpu import bf16_is_fast
from model_store.backends.fake import FakeBackend
from model_store.derive import derive_manifest
from model_store.export import sample_inputs
from tests.model_store.backends.graphs import only, padded, tiny_graphs, worst_difference
from tests.models import LABELS

LABEL_COUNT = len(LABELS[Task.TEXT_CLASSIFICATION])


def _fake() -> Backend:
    return FakeBackend.for_manifest(derive_manifest(tiny_graphs().folder))


def _torch(precision: str) -> Backend:
    from model_store.backends.torch import open_torch

    return open_torch(tiny_graphs().folder, Task.TEXT_CLASSIFICATION, precision=precision)


def _onnxruntime(precision: str) -> Backend:
    from model_store.backends.onnxruntime import open_onnxruntime

    graphs = tiny_graphs()
    path = graphs.int8 if precision == "int8" else graphs.fp32
    return open_onnxruntime(path, precision=precision)


def _openvino(precision: str) -> Backend:
    from model_store.backends.openvino import open_openvino

    if precision == "bf16" and not bf16_is_fast():
        pytest.skip("this CPU has no bf16")
    return open_openvino(tiny_graphs().fp32, precision=precision)


OPENERS: dict[str, tuple[Callable[[], Backend], float, float]] = {
    "fake-fp32": (_fake, 0.0, np.inf),
    "torch-fp32": (lambda: _torch("fp32"), 1e-5, 1e-6),
    "torch-bf16": (lambda: _torch("bf16"), 0.02, 0.5),
    "onnxruntime-fp32": (lambda: _onnxruntime("fp32"), 1e-5, 1e-4),
    "onnxruntime-int8": (lambda: _onnxruntime("int8"), 0.0, 2.0),
    "openvino-fp32": (lambda: _openvino("fp32"), 1e-5, 1e-4),
    "openvino-bf16": (lambda: _openvino("bf16"), 0.02, 0.5),
}
"""By id: how to open it, how far a score may move in a batch, how far a logit is from fp32."""


@pytest.fixture(scope="module", params=OPENERS)
def opened(request: pytest.FixtureRequest) -> Iterator[tuple[str, Backend]]:
    backend = OPENERS[request.param][0]()
    yield request.param, backend
    backend.close()


def rows(count: int, tokens: int, seed: int = 0) -> Tensors:
    return sample_inputs(tiny_graphs().vocabulary, count, tokens, seed=seed)


def scores(outputs: Tensors) -> Tensors:
    powers = np.exp(outputs["logits"] - outputs["logits"].max(-1, keepdims=True))
    return {"logits": powers / powers.sum(-1, keepdims=True)}


def test_backend_describes_itself(opened: tuple[str, Backend]) -> None:
    name, backend = opened
    assert isinstance(backend, Backend)
    assert f"{backend.name}-{backend.precision}" == name
    assert backend.device == "cpu"
    assert backend.batchable
    assert {"input_ids", "attention_mask"} <= backend.input_names
    assert (backend.bytes > 0) == (backend.name != "fake")


@pytest.mark.parametrize("shape", [(1, 1), (1, 16), (7, 32), (64, 16), (2, 128)])
def test_outputs_are_float32_by_row(opened: tuple[str, Backend], shape: tuple[int, int]) -> None:
    outputs = opened[1].run(rows(*shape))
    assert list(outputs) == ["logits"]
    assert outputs["logits"].dtype == np.float32
    assert outputs["logits"].shape == (shape[0], LABEL_COUNT)
    assert np.isfinite(outputs["logits"]).all()


def test_logits_agree_with_fp32_torch(opened: tuple[str, Backend]) -> None:
    name, backend = opened
    inputs = rows(8, 32)
    reference = OPENERS["torch-fp32"][0]()
    assert worst_difference(backend.run(inputs), reference.run(inputs)) <= OPENERS[name][2]


def test_rows_alone_and_in_a_batch_get_the_same_scores(opened: tuple[str, Backend]) -> None:
    name, backend = opened
    for tokens in (16, 64):
        inputs = rows(64, tokens, seed=tokens)
        together = scores(backend.run(inputs))["logits"]
        for index in range(64):
            alone = scores(backend.run(only(inputs, index)))["logits"][0]
            assert np.abs(alone - together[index]).max() <= OPENERS[name][1]
            assert alone.argmax() == together[index].argmax()


def test_padding_is_masked(opened: tuple[str, Backend]) -> None:
    name, backend = opened
    inputs = rows(8, 32)
    plain = scores(backend.run(inputs))
    longer = scores(backend.run(padded(inputs, 64)))
    assert worst_difference(plain, longer) <= OPENERS[name][1]
    noise = inputs["input_ids"] + (1 - inputs["attention_mask"]) * 7
    assert (noise != inputs["input_ids"]).any()
    assert worst_difference(plain, scores(backend.run(inputs | {"input_ids": noise}))) == 0


def test_ids_matter(opened: tuple[str, Backend]) -> None:
    some, others = opened[1].run(rows(4, 16, seed=1)), opened[1].run(rows(4, 16, seed=2))
    assert worst_difference(some, others) > 0.01


def test_unknown_arrays_are_ignored(opened: tuple[str, Backend]) -> None:
    inputs = rows(3, 16)
    extra = inputs | {"something_else": np.ones((3, 16), dtype=np.int64)}
    assert worst_difference(opened[1].run(inputs), opened[1].run(extra)) == 0


def test_outputs_belong_to_the_caller(opened: tuple[str, Backend]) -> None:
    first = opened[1].run(rows(4, 16, seed=1))
    kept = {name: array.copy() for name, array in first.items()}
    opened[1].run(rows(4, 16, seed=2))
    assert worst_difference(first, kept) == 0


@pytest.mark.parametrize("name", [name for name in OPENERS if name != "fake-fp32"])
def test_close_frees_the_runtime(name: str) -> None:
    backend = OPENERS[name][0]()
    inside = [
        weakref.ref(value)
        for key, value in vars(backend).items()
        if key in ("_model", "_session", "_compiled")
    ]
    assert len(inside) == 1
    backend.close()
    gc.collect()
    assert inside[0]() is None
