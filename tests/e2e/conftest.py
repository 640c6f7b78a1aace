"""One server over four tiny models, shared by the end-to-end tests that do not break it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.tasks import Task
from tests.models import tiny_checkpoint
from tests.running import RunningServer, running

NAMES = {
    "intent": Task.TEXT_CLASSIFICATION,
    "entities": Task.TOKEN_CLASSIFICATION,
    "qa": Task.QUESTION_ANSWERING,
    "summary": Task.SUMMARIZATION,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Plain checkpoint folders, by model name."""
    root = tmp_path_factory.mktemp("checkpoints")
    return {name: tiny_checkpoint(root / name, "bert", task) for name, task in NAMES.items()}


@pytest.fixture(scope="session")
def arguments(checkpoints: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Flags that serve the four on fp32 torch."""
    store = tmp_path_factory.mktemp("store")
    models = [f"--model={name}={folder}" for name, folder in checkpoints.items()]
    return [f"--store={store}", "--backend=torch", "--precision=fp32", *models]


@pytest.fixture(scope="session")
def server(
    arguments: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A ready server."""
    log = tmp_path_factory.mktemp("log") / "server.log"
    with running(log, *arguments) as one:
        one.wait_ready()
        yield one
