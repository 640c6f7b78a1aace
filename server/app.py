"""The composition root: settings in, a running server out."""

import functools
import os
import shutil
import signal
import socket
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp

from contracts.errors import CheckpointError, TuneserveError
from server.admission import Admission
from server.auth import KeyRing
from server.cache import AnswerCache
from server.catalog import Found, find_models
from server.client import EnginePool
from server.drain import Drain
from server.engine_process import ENGINES, RunEngine, run_lane
from server.errors import unrouted
from server.front import Front
from server.lanes import Lane
from server.lingering import Lingering
from server.litserve_adapter import EngineApi, TuneServer
from server.logs import configure_logging
from server.metrics import Metrics
from server.openapi import describe
from server.rollout import Rollout
from server.roster import Roster
from server.routes.admin import admin_routes
from server.routes.admin_section import admin_section
from server.routes.bulk import bulk_routes, bulk_section
from server.routes.health import health_routes, health_section
from server.routes.inference import inference_routes
from server.routes.inference_section import inference_section
from server.routes.models import model_routes, model_section
from server.routes.open_inference import open_inference_routes
from server.routes.open_inference_section import open_inference_section
from server.routes.openai import openai_routes
from server.routes.openai_section import openai_section
from server.routes.pages import page_routes
from server.routes.text_embeddings import text_embeddings_routes
from server.routes.text_embeddings_section import text_embeddings_section
from server.settings import Settings

TOLD_HEADERS = (
    "retry-after",
    "x-compute-ms",
    "x-failed-items",
    "x-model-version",
    "x-queue-ms",
    "x-request-id",
    "x-truncated",
    "x-windows",
)
"""Headers of answers that a page of another origin may read."""


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
    if not found.versions and not found.refused and not settings.admin_key:
        raise CheckpointError(
            f"There is no model in {settings.store}: run `make models`, publish one with"
            " `tuneserve models add FOLDER --name NAME`, or name one with --model NAME=FOLDER."
        )
    return run(settings, found, ENGINES)


def run(settings: Settings, found: Found, engines: Mapping[Lane, RunEngine]) -> int:
    """Serve what was found until a signal comes.

    Args:
        settings: of the server.
        found: the models; each lane's are loaded by its own engine.
        engines: what the engine process of each lane runs.

    Returns:
        The exit code: 0 after a clean drain.
    """
    check_port(settings.host, settings.port)
    check_certificate(settings.tls_cert, settings.tls_key)
    folder = Path(tempfile.mkdtemp(prefix="tuneserve-"))
    try:
        server = build_server(settings, found, folder, engines)
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
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=settings.trusted_proxies,
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
        )
        return server.exit_code
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def build_server(
    settings: Settings, found: Found, folder: Path, engines: Mapping[Lane, RunEngine]
) -> TuneServer:
    """Wire routes, engine links and engines together; nothing is started yet."""
    drain = Drain(settings.drain_timeout_s)
    keys = KeyRing(settings.api_key, settings.keys_file)
    metrics = Metrics()
    accelerator = "cuda" if settings.device != "cpu" and gpu_count() else "cpu"
    devices = gpu_count() if accelerator == "cuda" else 1
    roster = Roster(folder / "roster")
    roster.write(found)
    lanes = found.lanes()
    apis = [
        EngineApi(
            lane,
            functools.partial(run_lane, engines[lane], settings, roster, lane),
            folder,
            settings.engines_per_device if lane is Lane.ENCODING else 1,
        )
        for lane in lanes
    ]
    pool = EnginePool(
        {api.lane: api.socket_paths(devices) for api in apis},
        {lane: loads.statuses() for lane, loads in lanes.items()},
        metrics.batch_ran,
    )
    server = TuneServer(
        apis,
        drain=drain,
        connect=functools.partial(pool.running, settings.engine_timeout_s),
        accelerator=accelerator,
        devices=devices,
        gzip=settings.gzip,
    )
    front = Front(
        settings=settings,
        engines=pool,
        metrics=metrics,
        admission=Admission(settings),
        cache=AnswerCache(settings.cache_mb << 20),
        keys=keys,
        drain=drain,
        server_pid=os.getpid(),
    )
    rollout = Rollout(settings, roster, pool)
    metrics.watch(pool, lambda: drain.in_flight, front.cache)
    app = server.app
    app.title, app.version = "tuneserve", "0.1.0"
    app.description = "Fine-tuned text models behind typed endpoints."
    app.router.routes[:] = [
        *inference_routes(front),
        *bulk_routes(front),
        *openai_routes(front),
        *text_embeddings_routes(front),
        *open_inference_routes(front, rollout),
        *admin_routes(front, rollout),
        *model_routes(front),
        *health_routes(front),
        *page_routes(app),
    ]
    app.add_exception_handler(HTTPException, unrouted)
    app.build_middleware_stack = functools.partial(lean_stack, app)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=TOLD_HEADERS,
        )
    sections = [
        inference_section(),
        bulk_section(),
        openai_section(),
        text_embeddings_section(),
        open_inference_section(),
        model_section(),
        admin_section(),
        health_section(),
    ]
    describe(app, sections, keys=keys.asks)
    return server


def lean_stack(app: FastAPI) -> ASGIApp:
    """The router with the errors of routing, inside of the middlewares that were added.

    FastAPI's own serve dependencies, uploads and bodies, which no route here has; each of them
    would cost every request some microseconds.
    """
    stack: ASGIApp = ExceptionMiddleware(app.router, handlers=app.exception_handlers)
    for middleware in reversed(app.user_middleware):
        stack = middleware.cls(stack, *middleware.args, **middleware.kwargs)
    return Lingering(stack)


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


def check_certificate(certificate: Path | None, key: Path | None) -> None:
    """Fail early, before any model loads.

    Raises:
        TuneserveError: the files are no certificate and its key.
    """
    if certificate is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise TuneserveError(
            f"{certificate} and {key} are no certificate and its key in PEM: {error}."
        ) from None


def gpu_count() -> int:
    """GPUs that the NVIDIA driver shows; asks no framework."""
    folder = Path("/proc/driver/nvidia/gpus")
    return len(list(folder.iterdir())) if folder.is_dir() else 0
