"""One server with a tiny model for every task, shared by all tests that run a real client."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.tasks import Task
from tests.embedders import tiny_embedder
from tests.models import tiny_checkpoint
from tests.running import RunningServer, running

TASKS = {
    "intent": Task.TEXT_CLASSIFICATION,
    "entities": Task.TOKEN_CLASSIFICATION,
    "qa": Task.QUESTION_ANSWERING,
    "summary": Task.SUMMARIZATION,
    "fill": Task.FILL_MASK,
}
LABELS = {"nli": ("contradiction", "neutral", "entailment"), "rerank": ("relevance",)}
"""Classifiers with labels of their own: zero-shot, and scores of pairs."""
ADMIN_KEY = "the admin's key"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Plain checkpoint folders, by model name."""
    root = tmp_path_factory.mktemp("checkpoints")
    folders = {name: tiny_checkpoint(root / name, "bert", task) for name, task in TASKS.items()}
    for name, labels in LABELS.items():
        task = Task.TEXT_CLASSIFICATION
        folders[name] = tiny_checkpoint(root / name, "bert", task, labels=labels)
    prompts = {"prompts": {"query": "the parcel: ", "document": ""}}
    folders["embed"] = tiny_embedder(root / "embed", settings=prompts)
    return folders


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the server's store; empty at its start."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="session")
def server(
    checkpoints: dict[str, Path], store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A ready server."""
    models = [f"--model={name}={folder}" for name, folder in checkpoints.items()]
    log = tmp_path_factory.mktemp("log") / "server.log"
    arguments = (f"--store={store}", "--backend=torch", "--precision=fp32", *models)
    with running(log, *arguments, SERVE_ADMIN_KEY=ADMIN_KEY) as one:
        one.wait_ready()
        yield one
