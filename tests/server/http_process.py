"""The HTTP process without its parents: real routes on a real port, over given engines."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware

from server.admission import Admission
from server.auth import KeyRing
from server.cache import AnswerCache
from server.client import EnginePool
from server.drain import Drain
from server.errors import unrouted
from server.front import Front
from server.lanes import Lane
from server.messages import ModelStatus
from server.metrics import Metrics
from server.routes.health import health_routes
from server.routes.inference import inference_routes
from server.settings import Settings


class HttpProcess:
    """One app, its pool and its port."""

    def __init__(
        self,
        paths: dict[Lane, list[Path]],
        models: dict[Lane, tuple[ModelStatus, ...]],
        **settings: Any,
    ) -> None:
        self.metrics = Metrics()
        self.pool = EnginePool(paths, models, self.metrics.batch_ran)
        self.drain = Drain(1)
        chosen = Settings(**settings)
        admission, cache = Admission(chosen), AnswerCache(0)
        keys = KeyRing(chosen.api_key, chosen.keys_file)
        self.metrics.watch(self.pool, lambda: self.drain.in_flight, cache)
        front = Front(chosen, self.pool, self.metrics, admission, cache, keys, self.drain, 0)

        @asynccontextmanager
        async def lifespan(_: FastAPI) -> Any:
            async with self.pool.running(60):
                yield

        app = FastAPI(lifespan=lifespan)
        app.router.routes.extend(inference_routes(front))
        app.router.routes.extend(health_routes(front))
        app.add_exception_handler(HTTPException, unrouted)
        if chosen.gzip:
            app.add_middleware(GZipMiddleware, minimum_size=1)
        config = uvicorn.Config(
            app, log_config=None, access_log=False, loop="uvloop", timeout_graceful_shutdown=1
        )
        self.server = uvicorn.Server(config)
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],), daemon=True)

    @contextlib.contextmanager
    def running(self) -> Iterator["HttpProcess"]:
        """Serve until the block ends."""
        self.thread.start()
        try:
            self.wait(lambda: self.server.started)
            yield self
        finally:
            self.server.should_exit = True
            self.thread.join(10)
            self.socket.close()

    def wait(self, until: Any, within_s: float = 10) -> None:
        """Wait for a condition, or fail."""
        ends = time.monotonic() + within_s
        while not until():
            assert time.monotonic() < ends, "it did not come about"
            time.sleep(0.005)

    def ready(self) -> "HttpProcess":
        """Wait for every engine."""
        self.wait(lambda: httpx.get(f"{self.url}/readyz").status_code == 200)
        return self

    def metric(self, line: str) -> float:
        """The value of one sample, named with its labels."""
        for each in self.metrics.render().decode().splitlines():
            if each.startswith(f"{line} "):
                return float(each.rsplit(" ", 1)[1])
        return 0.0
