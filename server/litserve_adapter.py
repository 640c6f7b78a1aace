"""Every override of LitServe 0.2.19, in one place; each is held by a contract test.

LitServe gives the FastAPI app, the worker process per device and ``run``. Replaced are the queue
through a manager process (a Unix socket instead: it costs less, and survives a killed reader), the
endpoint per LitAPI (typed routes instead), and the life cycle: SIGTERM drains, a dead engine starts
again, nothing is left behind.

Processes: this one (it watches, and serves nothing), one HTTP process or more, and per lane one
engine or more.
"""

import contextlib
import logging
import multiprocessing as mp
import multiprocessing.connection
import os
import select
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import litserve
import uvicorn
from fastapi import FastAPI
from litserve.loops import LitLoop
from litserve.loops.loops import inference_worker
from starlette.middleware.gzip import GZipMiddleware

from server.drain import Drain
from server.engine_process import REFUSED
from server.http_server import serve_http
from server.lanes import Lane
from server.restart import Restart

logger = logging.getLogger(__name__)

GZIP_ABOVE_BYTES = 1000
KEEP_ALIVE_S = 75


class EngineApi(litserve.LitAPI):
    """One LitAPI per lane: it holds every model of it. LitServe pickles it into the workers."""

    def __init__(
        self, lane: Lane, run: Callable[[Path, str], None], folder: Path, per_device: int
    ) -> None:
        """Take what a worker does.

        Args:
            lane: names the processes and their sockets.
            run: called in the worker with its socket and device; returns when the engine ends.
            folder: of the sockets.
            per_device: worker processes per device.
        """
        super().__init__(loop=EngineLoop(), api_path=f"/{lane}")
        self.lane, self.per_device = lane, per_device
        self._run, self._folder = run, folder

    def run_engine(self, device: str, worker_id: int) -> None:
        """In the worker: be the engine until it ends."""
        self._run(self._socket_path(worker_id), device)

    def socket_paths(self, devices: int) -> list[Path]:
        """Where the engines listen, by worker id."""
        return [self._socket_path(number) for number in range(devices * self.per_device)]

    def _socket_path(self, worker_id: int) -> Path:
        return self._folder / f"{self.lane}-{worker_id}.sock"

    def setup(self, device: str) -> None:
        """LitServe: nothing; models load inside the loop, where progress can be told."""

    def predict(self, x: Any, **kwargs: Any) -> Any:
        """LitServe wants it; work comes over the socket instead."""
        raise NotImplementedError


class EngineLoop(LitLoop):
    """LitServe's place for an own loop: the engine, until it ends."""

    def run(self, lit_api: EngineApi, device: str, worker_id: int, *_: Any) -> None:
        """LitServe: called over and over; once is enough."""
        lit_api.run_engine(device, worker_id)
        raise SystemExit(0)


class Shutdown:
    """An event that a signal handler may set: a byte in a pipe, no lock."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._set = False

    def set(self) -> None:
        """Let every waiter go on."""
        self._set = True
        os.write(self._write, b"x")

    def is_set(self) -> bool:
        """Whether it was set."""
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        """Wait; False when the time is over first."""
        return bool(select.select([self._read], [], [], timeout)[0])


class TuneServer(litserve.LitServer):
    """LitServe with an engine API per lane, sockets and an orderly life.

    Attributes:
        exit_code: what the process should end with, once ``run`` has returned.
    """

    def __init__(
        self,
        apis: Sequence[EngineApi],
        *,
        drain: Drain,
        connect: Callable[[], contextlib.AbstractAsyncContextManager[None]],
        accelerator: str,
        devices: int,
        gzip: bool,
    ) -> None:
        """Wrap LitServe.

        Args:
            apis: the engines, one per lane.
            drain: shared with the routes.
            connect: the app's lifespan: opens and closes the engine links of an HTTP process.
            accelerator: ``cpu`` or ``cuda``.
            devices: how many of them.
            gzip: whether long answers are compressed.
        """
        self._drain = drain
        self._connect = connect
        self._gzip = gzip
        self._places: list[tuple[EngineApi, int]] = []
        """API and worker id of each entry of ``inference_workers``."""
        self.exit_code = 0
        super().__init__(
            list(apis),
            accelerator=accelerator,
            devices=devices,
            workers_per_device={api.api_path: api.per_device for api in apis},
            timeout=False,
        )
        self._shutdown_event = Shutdown()

    # --- the app

    def _register_internal_endpoints(self) -> None:
        """LitServe registers /, /health and /info; ours replace them."""

    def _register_api_endpoints(self, lit_api: Any, request_type: Any, response_type: Any) -> None:
        """LitServe registers an untyped route per API; ours are typed."""

    def _register_middleware(self) -> None:
        """LitServe compresses at the default level, always; here it is a setting."""
        if self._gzip:
            self.app.add_middleware(GZipMiddleware, minimum_size=GZIP_ABOVE_BYTES, compresslevel=1)

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """LitServe reads its response queue here; an HTTP process connects to the engines."""
        async with self._connect():
            yield

    # --- processes

    def _init_manager(self, num_api_servers: int) -> None:
        """LitServe starts a manager process with queues; the sockets need none."""
        self._transport = None
        self.workers_setup_status: dict[str, str] = {}
        self.litapi_request_queues = {api.api_path: None for api in self.litapi_connector}

    def launch_inference_worker(self, lit_api: Any) -> list[BaseProcess]:
        """LitServe starts the workers of one API, and appends them to ``inference_workers``."""
        numbers = range(len(self._inference_workers_config_for_api(lit_api.api_path)))
        self._places += [(lit_api, number) for number in numbers]
        return [self.launch_single_inference_worker(lit_api, number) for number in numbers]

    def launch_single_inference_worker(self, lit_api: Any, worker_id: int) -> BaseProcess:
        """Start one engine in a fresh interpreter, through LitServe's own worker function."""
        device = self._inference_workers_config_for_api(lit_api.api_path)[worker_id]
        process = mp.get_context("spawn").Process(
            target=inference_worker,
            args=(lit_api, device, worker_id, None, None, {}, self._callback_runner, False),
            name=f"{lit_api.lane}-{worker_id}",
        )
        process.start()
        return process

    def verify_worker_status(self) -> None:
        """LitServe blocks until a worker is ready; /readyz tells it instead."""

    def _start_server(
        self,
        port: int,
        num_uvicorn_servers: int,
        log_level: str,
        sockets: list[socket.socket],
        uvicorn_worker_type: str,
        **kwargs: Any,
    ) -> dict[int, BaseProcess]:
        """Fork the HTTP processes; they share the listening socket."""
        config = uvicorn.Config(
            app=self.app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=1,
            **kwargs,
        )
        workers = {}
        for number in range(num_uvicorn_servers):
            worker = mp.get_context("fork").Process(
                target=serve_http, args=(config, self._drain, sockets), name=f"http-{number}"
            )
            worker.start()
            workers[number] = worker
        for one in sockets:
            one.close()
        return dict(workers)

    def _start_worker_monitoring(self, manager: None, uvicorn_workers: Any) -> None:
        """LitServe polls every two seconds; this waits on the processes themselves."""
        watcher = threading.Thread(
            target=self._watch, args=(list(uvicorn_workers.values()),), daemon=True, name="watch"
        )
        watcher.start()

    def _watch(self, http: list[BaseProcess]) -> None:
        """Start a dead engine again; end the server when an HTTP process ends."""
        restarts = [Restart() for _ in self.inference_workers]
        while not self._shutdown_event.is_set():
            living = [one for one in self.inference_workers if one.is_alive()]
            wait_s = max(0.0, min([1.0, *(restart.due_s for restart in restarts)]))
            mp.connection.wait([one.sentinel for one in [*living, *http]], timeout=wait_s)
            if self._shutdown_event.is_set():
                return
            for process in http:
                if not process.is_alive():
                    self.exit_code = 0 if process.exitcode == 0 else 1
                    logger.error("an HTTP process ended", extra={"exitcode": process.exitcode})
                    self._shutdown_event.set()
                    return
            for number, (process, restart) in enumerate(
                zip(self.inference_workers, restarts, strict=True)
            ):
                if process.is_alive():
                    continue
                if process.exitcode == REFUSED:
                    self.exit_code = REFUSED
                    logger.error("a model is refused, and the server is strict: it ends")
                    self._shutdown_event.set()
                    return
                if restart.at is None:
                    restart.died()
                    logger.error(
                        "the engine died and starts again",
                        extra={
                            "engine": process.name,
                            "exitcode": process.exitcode,
                            "in_s": round(max(0.0, restart.due_s), 1),
                        },
                    )
                if restart.due_s <= 0:
                    self.inference_workers[number] = self.launch_single_inference_worker(
                        *self._places[number]
                    )
                    restart.started()

    def _perform_graceful_shutdown(
        self, manager: None, uvicorn_workers: Any, shutdown_reason: str = "normal"
    ) -> None:
        """First the HTTP processes, which drain; then the engines, which nobody needs any more."""
        for worker in uvicorn_workers.values():
            if worker.is_alive():
                worker.terminate()
        for worker in uvicorn_workers.values():
            worker.join()
        for engine in self.inference_workers:
            engine.kill()  # it holds nothing that could be lost
        for engine in self.inference_workers:
            engine.join()
