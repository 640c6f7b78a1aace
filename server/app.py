"""The composition root: settings in, a running server out."""

import functools
import gc
import logging
import multiprocessing as mp
import os
import queue
import shutil
import signal
import socket
import tempfile
import threading
from pathlib import Path

from contracts.errors import CheckpointError, TuneserveError
from model_store.backends.base import DeviceName
from server.admission import Admission
from server.auth import ApiKey
from server.catalog import Found, find_models, load_models
from server.client import EnginePool
from server.drain import Drain
from server.engine import Engine
from server.front import Front
from server.hub import Hub
from server.litserve_adapter import EngineApi, TuneServer, socket_path
from server.logs import configure_logging
from server.messages import ModelStatus, Status
from server.metrics import Metrics
from server.openapi import describe
from server.routes.health import health_routes
from server.routes.inference import Inference
from server.routes.models import model_routes
from server.settings import Settings

logger = logging.getLogger(__name__)

NEWS_EVERY_S = 0.05
"""While models load: how often the engine looks whether one is ready."""


def serve(settings: Settings) -> int:
    """Run until a signal comes.

    Returns:
        The exit code: 0 after a clean drain.

    Raises:
        CheckpointError: a model is refused and ``strict`` is set, or there is none at all.
    """
    configure_logging(settings.log_level)
    found = find_models(settings)
    if settings.strict and found.refused:
        raise CheckpointError("; ".join(f"{one.name}: {one.reason}" for one in found.refused))
    if not found.versions and not found.refused:
        raise CheckpointError(
            f"There is no model in {settings.store}: run `make models`, publish one with"
            " `tuneserve models add FOLDER --name NAME`, or name one with --model NAME=FOLDER."
        )
    check_port(settings.host, settings.port)
    folder = Path(tempfile.mkdtemp(prefix="tuneserve-"))
    try:
        server = build_server(settings, found, folder)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server._shutdown_event.set())
        server.run(
            host=settings.host,
            port=settings.port,
            num_api_servers=settings.http_processes,
            log_level="warning",
            generate_client_file=False,
            loop="uvloop",
            http="httptools",
        )
        return server.exit_code
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def build_server(settings: Settings, found: Found, folder: Path) -> TuneServer:
    """Wire routes, engine links and engines together; nothing is started yet."""
    drain = Drain(settings.drain_timeout_s)
    metrics = Metrics()
    accelerator = "cuda" if settings.device != "cpu" and gpu_count() else "cpu"
    api = EngineApi(functools.partial(run_engine, settings, found, folder))
    devices = gpu_count() if accelerator == "cuda" else 1
    count = devices * settings.engines_per_device
    paths = [socket_path(folder, number) for number in range(count)]
    engines = EnginePool(paths, metrics.batch_ran)
    server = TuneServer(
        api,
        drain=drain,
        connect=functools.partial(engines.running, settings.engine_timeout_s),
        accelerator=accelerator,
        devices=devices,
        engines_per_device=settings.engines_per_device,
        gzip=settings.gzip,
    )
    front = Front(
        settings=settings,
        engines=engines,
        metrics=metrics,
        admission=Admission(settings),
        key=ApiKey(settings.api_key),
        drain=drain,
        server_pid=os.getpid(),
    )
    metrics.watch(engines, lambda: drain.in_flight)
    app = server.app
    app.title, app.version = "tuneserve", "0.1.0"
    app.description = "Fine-tuned text models behind typed endpoints."
    app.router.routes.extend(Inference(front).routes())
    app.include_router(model_routes(front))
    app.include_router(health_routes(front))
    describe(app)
    return server


def run_engine(settings: Settings, found: Found, folder: Path, device: str, worker_id: int) -> None:
    """The engine process: load every model, answer for those that are there; then only step.

    Loading has its own thread, so that readiness and heartbeats are told meanwhile.
    """
    configure_logging(settings.log_level)
    _, _, index = device.partition(":")
    kind: DeviceName = "cuda" if index else "cpu"
    if index:
        os.environ["CUDA_VISIBLE_DEVICES"] = index
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(
            number, signal.SIG_IGN
        )  # a signal to the group: the server drains, then ends us
    hub = Hub(socket_path(folder, worker_id))
    parent = mp.parent_process()
    assert parent is not None
    hub.watch(parent.sentinel)
    engine = Engine(hub, {}, settings.tokens_per_batch(kind))
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


def check_port(host: str, port: int) -> None:
    """Fail early, before any model loads.

    Raises:
        TuneserveError: another process listens there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise TuneserveError(
                f"Port {port} on {host} cannot be used ({error.strerror}): stop what listens there,"
                " or choose another with --port."
            ) from None


def gpu_count() -> int:
    """GPUs that the NVIDIA driver shows; asks no framework."""
    folder = Path("/proc/driver/nvidia/gpus")
    return len(list(folder.iterdir())) if folder.is_dir() else 0
