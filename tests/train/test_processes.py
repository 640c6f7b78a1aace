"""Two processes of ``torchrun`` train one recipe together."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from model_store.store import Store
from tests.train.runs import WRITERS, write_recipe

SETTINGS = (
    *("--set", "artifacts.onnx_fp32=false", "--set", "artifacts.onnx_int8=false"),
    *("--set", "model.dropout=0.0", "--set", "snapshot_every_s=0"),
    # Adam would blow up the rounding of gradients that are nothing.
    *("--set", "optim.name=sgd", "--set", "optim.lr=0.05"),
)


@pytest.mark.e2e
def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    """Each batch is shared, and its loss is the mean over all labelled tokens of the batch."""
    recipe = write_recipe(tmp_path, "ner", WRITERS["ner"](tmp_path))
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    alone = _weights([sys.executable], recipe, tmp_path / "one")
    together = _weights([sys.executable, *torchrun], recipe, tmp_path / "two")
    assert alone.keys() == together.keys()
    for name, value in alone.items():
        np.testing.assert_allclose(together[name], value, atol=1e-5, err_msg=name)


def _weights(start: list[str], recipe: Path, store: Path) -> dict[str, np.ndarray]:
    command = [*start, "-m", "train", str(recipe), "--store", str(store), *SETTINGS]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("tiny@1") == 1, "one process speaks for all"
    version = Store(store).resolve("tiny")
    assert version.version == 1
    return load_file(version.folder / "model.safetensors")
