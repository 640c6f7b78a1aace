"""Every architecture exports, and what is exported answers as torch does."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from contracts.errors import CheckpointError
from contracts.tasks import Task
from model_store import export
from model_store.backends.onnxruntime import open_onnxruntime
from model_store.backends.torch import open_torch
from model_store.export import PER_TOKEN, export_onnx, sample_inputs
from model_store.files import read_json
from tests.model_store.backends.graphs import tiny_graphs, worst_difference
from tests.models import tiny_checkpoint

PAIRS = (
    ("roberta", Task.QUESTION_ANSWERING),
    ("deberta-v2", Task.TOKEN_CLASSIFICATION),
    ("mpnet", Task.TEXT_CLASSIFICATION),
    ("modernbert", Task.TEXT_CLASSIFICATION),
    ("distilbert", Task.FEATURE_EXTRACTION),
    ("modernbert", Task.FILL_MASK),
)
"""One of each kind of attention, positions and head; every architecture with every task is tried by
``benchmarks/architectures.py``, and BERT in the contract suite."""


@pytest.mark.parametrize(("architecture", "task"), PAIRS)
def test_exported_file_answers_as_torch(architecture: str, task: Task, tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path, architecture, task)
    config = read_json(folder / "config.json")
    path = export_onnx(folder, task, folder / "onnx" / "model.onnx")
    assert list(path.parent.iterdir()) == [path]
    graph, model = open_onnxruntime(path), open_torch(folder, task)
    assert graph.input_names == model.input_names
    for rows, tokens in ((1, 3), (4, 16), (9, 64)):
        inputs = sample_inputs(config["vocab_size"], rows, tokens, pad_id=config["pad_token_id"])
        expected, found = model.run(inputs), graph.run(inputs)
        assert list(found) == list(expected)
        if task in PER_TOKEN:
            mask = inputs["attention_mask"].astype(bool)
            expected = {name: array[mask] for name, array in expected.items()}
            found = {name: array[mask] for name, array in found.items()}
        assert worst_difference(expected, found) < 1e-4


def test_a_file_that_differs_is_refused_and_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    another = tiny_graphs().fp32.read_bytes()
    monkeypatch.setattr(export, "_write", lambda _, __, ___, path, ____: path.write_bytes(another))
    folder = tiny_checkpoint(tmp_path / "other", "bert", Task.TEXT_CLASSIFICATION, seed=1)
    with pytest.raises(CheckpointError, match="differs from torch"):
        export_onnx(folder, Task.TEXT_CLASSIFICATION, tmp_path / "onnx" / "model.onnx")
    assert list((tmp_path / "onnx").iterdir()) == []


def test_the_child_process_hands_its_sentence_on(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(CheckpointError, match="cannot be loaded by transformers"):
        export.export_in_process(tmp_path, Task.TEXT_CLASSIFICATION, tmp_path / "model.onnx")


def test_sample_inputs_pad_every_row_but_the_first() -> None:
    inputs = sample_inputs(50, 6, 20, pad_id=3)
    lengths = inputs["attention_mask"].sum(axis=1)
    assert lengths[0] == 20
    assert len(set(lengths)) > 2
    np.testing.assert_array_equal(inputs["input_ids"] == 3, inputs["attention_mask"] == 0)


@pytest.mark.parametrize(
    "module",
    [
        "choose",
        "timings",
        "export",
        "seq2seq_export",
        "measure",
        "backends.load",
        "backends.onnxruntime",
    ],
)
def test_no_runtime_is_imported_before_it_is_opened(module: str) -> None:
    program = (
        f"import sys, model_store.{module}\n"
        "loaded = {'torch', 'onnxruntime', 'openvino', 'transformers', 'nncf'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(loaded)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
