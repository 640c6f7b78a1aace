"""What runs for a task: small outputs, and no call that another one disturbs."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from contracts.tasks import Task
from contracts.tensors import Tensors
from model_store.backends.base import Backend
from model_store.backends.fake import FakeBackend
from model_store.backends.onnxruntime import open_onnxruntime
from model_store.backends.openvino import open_openvino
from model_store.backends.torch import open_torch
from model_store.embedding import Embedding
from model_store.export import export_onnx, sample_inputs
from model_store.files import read_json
from model_store.manifest import Manifest
from tests.embedders import SIZE, tiny_embedder
from tests.model_store.backends.graphs import only
from tests.models import tiny_checkpoint

TASKS = {Task.FEATURE_EXTRACTION: "embeddings", Task.FILL_MASK: "logits"}


@pytest.fixture(scope="module", params=TASKS, ids=str)
def checkpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Task, int]:
    """A folder with its graph, its task, and its vocabulary."""
    folder = tmp_path_factory.mktemp("checkpoint")
    if request.param is Task.FEATURE_EXTRACTION:
        tiny_embedder(folder)
    else:
        tiny_checkpoint(folder, "bert", request.param)
    export_onnx(folder, request.param, folder / "model.onnx")
    return folder, request.param, int(read_json(folder / "config.json")["vocab_size"])


def opened(folder: Path, task: Task) -> list[Backend]:
    graph = folder / "model.onnx"
    return [open_torch(folder, task), open_onnxruntime(graph), open_openvino(graph)]


def test_every_backend_gives_one_vector_per_row_whatever_its_company(
    checkpoint: tuple[Path, Task, int],
):
    folder, task, vocabulary = checkpoint
    inputs = sample_inputs(vocabulary, 9, 24)
    width = SIZE if task is Task.FEATURE_EXTRACTION else vocabulary
    for backend in opened(folder, task):
        together = backend.run(inputs)
        assert set(together) == {TASKS[task]}
        rows = together[TASKS[task]]
        assert (rows.shape, rows.dtype) == ((9, width), np.float32)
        for index in range(9):
            [alone] = backend.run(only(inputs, index))[TASKS[task]]
            assert np.abs(alone - rows[index]).max() < 2e-5
        backend.close()


def test_threads_that_run_at_once_do_not_disturb_each_other(checkpoint: tuple[Path, Task, int]):
    folder, task, vocabulary = checkpoint
    backend = open_torch(folder, task)
    batches = [sample_inputs(vocabulary, 1 + n % 4, 8 + n, seed=n) for n in range(24)]
    expected = [backend.run(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for one, other in zip(pool.map(backend.run, batches), expected, strict=True):
                for name, array in other.items():
                    np.testing.assert_allclose(one[name], array, atol=1e-5)
    backend.close()


def test_the_fake_backend_answers_for_the_mask_that_is_named():
    manifest = Manifest(task=Task.FILL_MASK, architecture="X", labels=[], max_tokens=16)
    backend = FakeBackend.for_manifest(manifest, vocabulary=40)
    inputs = sample_inputs(40, 3, 12)
    first = backend.run(inputs)["logits"]
    assert first.shape == (3, 40)
    moved: Tensors = inputs | {"mask_positions": inputs["mask_positions"] + 1}
    assert (backend.run(moved)["logits"] != first).any(axis=1).all()


def test_the_fake_backend_has_the_dimensions_of_the_model():
    manifest = Manifest(
        task=Task.FEATURE_EXTRACTION,
        architecture="X",
        labels=[],
        max_tokens=16,
        embedding=Embedding(dimensions=7),
    )
    backend = FakeBackend.for_manifest(manifest)
    assert backend.run(sample_inputs(40, 3, 12))["embeddings"].shape == (3, 7)
