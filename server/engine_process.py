"""What an engine process does from its start to its end, by lane."""

import logging
import multiprocessing as mp
import os
import signal
from collections.abc import Callable
from pathlib import Path

from model_store.backends.base import BackendChoice, DeviceName
from server.catalog import Found
from server.engine import Engine
from server.generation_engine import GenerationEngine
from server.hub import Hub
from server.lanes import Lane
from server.loader import Loader
from server.logs import configure_logging
from server.roster import Roster
from server.settings import Settings
from server.shelf import Shelf

logger = logging.getLogger(__name__)

NEWS_EVERY_S = 0.05
"""While models come or go: how often the engine looks whether one is ready."""

REFUSED = 2
"""Exit code of an engine that was not to start without every one of its models."""

RunEngine = Callable[[Settings, Found, Path, str], None]
"""What a worker process runs: settings, the lane's models, its socket, its device."""


def run_encoding(settings: Settings, found: Found, path: Path, device: str) -> None:
    """The engine of models that answer in one run: classification, entities, questions."""
    kind = _device_kind(device)
    hub = _open_hub(settings, path)
    streams = settings.batches_at_once(kind)
    engine = Engine(
        hub,
        {},
        batch_tokens=settings.batch_tokens,
        streams=streams,
        hang_s=settings.engine_timeout_s,
    )
    _serve(
        engine,
        hub,
        settings.backend_choice(kind, streams),
        found,
        strict=settings.strict,
    )


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
    _serve(engine, hub, settings.backend_choice(kind), found, strict=settings.strict)


ENGINES: dict[Lane, RunEngine] = {
    Lane.ENCODING: run_encoding,
    Lane.GENERATION: run_generation,
}


def run_lane(
    run: RunEngine, settings: Settings, roster: Roster, lane: Lane, path: Path, device: str
) -> None:
    """What a worker process runs: the engine of a lane with what the lane serves at this moment."""
    run(settings, roster.of(lane), path, device)


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
    engine: Engine | GenerationEngine,
    hub: Hub,
    choice: BackendChoice,
    found: Found,
    *,
    strict: bool,
) -> None:
    """Load every model, answer for those that are there, and follow what HTTP processes want.

    Raises:
        SystemExit: ``strict``, and a model that the server was started with is refused.
    """
    shelf = Shelf(engine, found, Loader(choice))
    try:
        while True:
            engine.step(wait_s=NEWS_EVERY_S if shelf.busy else None)
            shelf.update()
            if strict and shelf.refused:
                raise SystemExit(REFUSED)
    except EOFError:
        hub.close()
