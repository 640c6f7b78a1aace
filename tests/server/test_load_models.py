"""What the engine loads, and what it refuses although the runtime would take it."""

import time
from pathlib import Path

import pytest

from contracts.tasks import Task
from handlers.pipeline import Pipeline
from model_store.backends.base import BackendChoice
from model_store.copying import copy_checkpoint
from model_store.sources import open_source
from model_store.store import Store
from model_store.version import ModelVersion
from server.loader import Loaded, Loader
from tests.models import tiny_checkpoint


@pytest.fixture
def version(tmp_path: Path) -> ModelVersion:
    folder = tiny_checkpoint(tmp_path / "checkpoint", "bert", Task.TEXT_CLASSIFICATION)
    store = Store(tmp_path / "store")
    plain = open_source("intent", str(folder), cache_root=store.cache_root)
    return store.publish("intent", lambda target: copy_checkpoint(plain, target))


def load(version: ModelVersion) -> Loaded:
    loader = Loader(BackendChoice("torch", "fp32", "cpu", 1))
    loader.load(version)
    while True:
        assert loader.busy
        if loaded := loader.take():
            assert not loader.busy
            return loaded[0]
        time.sleep(0.01)


def test_a_good_version_is_ready_and_answers(version: ModelVersion) -> None:
    loaded = load(version)
    assert (loaded.status.state, loaded.status.id) == ("ready", "intent@1")
    assert isinstance(loaded.pipeline, Pipeline)


@pytest.mark.parametrize("damage", ["a weight", "half of the file"])
def test_a_damaged_file_is_refused_by_its_hash_whether_or_not_it_loads(
    version: ModelVersion, damage: str
) -> None:
    weights = version.folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    if damage == "a weight":
        content[-2] ^= 1
    else:
        del content[len(content) // 2 :]
    weights.chmod(0o644)
    weights.write_bytes(content)
    loaded = load(version)
    assert loaded.pipeline is None
    assert loaded.status.state == "refused"
    assert "sha256 differs" in (loaded.status.reason or "")
