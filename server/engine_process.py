"""What an engine process does from its start to its end, by lane."""

import gc
import logging
import multiprocessing as mp
import os
import queue
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from model_store.backends.base import DeviceName
from server.catalog import Found, load_models
from server.engine import Engine
from server.generation_engine import GenerationEngine
from server.hub import Hub
from server.lanes import Lane
from server.logs import configure_logging
from server.messages import ModelStatus, Status
from server.settings import Settings

logger = logging.getLogger(__name__)

NEWS_EVERY_S = 0.05
"""While models load: how often the engine looks whether one is ready."""

RunEngine = Callable[[Settings, Found, Path, str], None]
"""What a worker process runs: settings, the lane's models, its socket, its device."""


class LaneEngine(Protocol):
    """What the engines of all lanes have in common."""

    @property
    def pipelines(self) -> dict[str, Any]:
        """By ``name@version``; models are put in while the engine runs."""
        ...

    def step(self, wait_s: float | None = None) -> None:
        """Receive, do one piece of work, answer; wait only when there is nothing to do."""
        ...

    def announce(self, status: Status) -> None:
        """Tell every HTTP process how the models are."""
        ...


def run_encoding(settings: Settings, found: Found, path: Path, device: str) -> None:
    """The engine of models that answer in one run: classification, entities, questions."""
    kind = _device_kind(device)
    hub = _open_hub(settings, path)
    engine = Engine(hub, {}, settings.tokens_per_batch(kind))
    _serve(engine, hub, settings, found, kind)


def run_generation(settings: Settings, found: Found, path: Path, device: str) -> None:
    """The engine of models that write their answer token by token.

    On a CPU it steps back behind every other process (``generation_nice``): a classification is
    over in milliseconds and gets the cores at once, the answer of seconds waits for so long.
    """
    kind = _device_kind(device)
    if kind == "cpu":
        os.nice(settings.generation_nice)
    hub = _open_hub(settings, path)
    engine = GenerationEngine(hub, {}, max_kv_bytes=settings.kv_cache_mb << 20)
    _serve(engine, hub, settings, found, kind)


ENGINES: dict[Lane, RunEngine] = {
    Lane.ENCODING: run_encoding,
    Lane.GENERATION: run_generation,
}


def _device_kind(device: str) -> DeviceName:
    """Show this process one device only: frameworks take the first that they see."""
    _, _, index = device.partition(":")
    if index:
        os.environ["CUDA_VISIBLE_DEVICES"] = index
    return "cuda" if index else "cpu"


def _open_hub(settings: Settings, path: Path) -> Hub:
    configure_logging(settings.log_level)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(
            number, signal.SIG_IGN
        )  # a signal to the group: the server drains, then ends us
    hub = Hub(path)
    parent = mp.parent_process()
    assert parent is not None
    hub.watch(parent.sentinel)
    return hub


def _serve(
    engine: LaneEngine, hub: Hub, settings: Settings, found: Found, kind: DeviceName
) -> None:
    """Load every model, answer for those that are there; then only step.

    Loading has its own thread, so that readiness and heartbeats are told meanwhile.
    """
    news: queue.SimpleQueue[tuple[ModelStatus, ...]] = queue.SimpleQueue()
    loading = threading.Thread(
        target=load_models,
        args=(found, settings.backend_choice(kind), engine.pipelines, news.put),
        name="load",
        daemon=True,  # a load that hangs must not outlive the server
    )
    loading.start()
    try:
        while loading.is_alive() or not news.empty():
            engine.step(wait_s=NEWS_EVERY_S)
            while not news.empty():
                engine.announce(Status(os.getpid(), news.get()))
        gc.freeze()  # the models' objects stay: collections need not walk them
        while True:
            engine.step()
    except EOFError:
        hub.close()
