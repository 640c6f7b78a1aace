"""The real server as a child process: on a free port, waited for, and ended by its own signal."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

READY_WITHIN_S = 120


@dataclass
class RunningServer:
    """One ``tuneserve serve``."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ready(self, client: httpx.Client | None = None) -> tuple[int, dict[str, Any]]:
        """What /readyz says; with a client of its own where the server speaks HTTPS."""
        answer = client.get("/readyz") if client else httpx.get(f"{self.url}/readyz", timeout=10)
        return answer.status_code, answer.json()

    def wait_ready(
        self, within_s: float = READY_WITHIN_S, client: httpx.Client | None = None
    ) -> dict[str, Any]:
        """Wait for /readyz to say 200, or fail with the log."""
        ends = time.monotonic() + within_s
        while time.monotonic() < ends and self.process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                status, report = self.ready(client)
                if status == 200:
                    return report
            time.sleep(0.05)
        raise AssertionError(f"not ready:\n{self.log.read_text()[-5000:]}")

    def ask(self, model: str, inputs: Any, **parameters: Any) -> httpx.Response:
        body = {"inputs": inputs, "parameters": parameters}
        return httpx.post(f"{self.url}/models/{model}", json=body, timeout=60)

    def metric(self, name: str) -> float:
        """Sum of a metric over its labels."""
        lines = httpx.get(f"{self.url}/metrics", timeout=10).text.splitlines()
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in lines
            if line.startswith((f"{name} ", f"{name}{{"))
        )

    def family(self) -> list[psutil.Process]:
        """The process and all it started."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line[:1] == "{"]

    def log_line(self, request_id: str, within_s: float = 10) -> dict[str, Any]:
        """The one line about a request; it is written once the answer is out, so wait for it."""
        ends = time.monotonic() + within_s
        while True:
            found = [line for line in self.log_lines() if line.get("request_id") == request_id]
            if found or time.monotonic() > ends:
                (line,) = found
                return line
            time.sleep(0.05)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def running(log: Path, *arguments: str, **environment: str) -> Iterator[RunningServer]:
    """Start a server; on the way out end it and everything it started."""
    port = free_port()
    script = Path(sys.executable).with_name("tuneserve")
    command = [script, "serve", "--port", str(port), *arguments]
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, stdout=sink, stderr=sink, env={**os.environ, **environment}
        )
    server = RunningServer(process, port, log)
    try:
        yield server
    finally:
        if process.poll() is None:
            left = server.family()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.stop()
            for one in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
