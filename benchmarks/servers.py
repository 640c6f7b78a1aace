"""The servers that are measured: ours and its peers, each started on a free port and waited for."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.processes import Family
from model_store.timings import CACHE_VARIABLE
from model_store.version import ModelVersion
from tests.running import free_port, running

OURS = "tuneserve"
PEERS = {
    "fastapi": "benchmarks.peers.fastapi_pipeline",
    "litserve": "benchmarks.peers.litserve_docs",
}
"""Modules that serve a checkpoint folder on a port, by name; each is what its own pages show."""

TITLES = {OURS: "tuneserve", "fastapi": "FastAPI + pipeline", "litserve": "LitServe, as documented"}
READY_WITHIN_S = 300.0


@dataclass(frozen=True)
class Target:
    """A server that answers.

    Attributes:
        name: ``tuneserve`` or that of a peer.
        url: takes the bodies of ``texts.write_bodies``.
        family: its processes.
        facts: what it says of itself: ours its models.
    """

    name: str
    url: str
    family: Family
    facts: Mapping[str, Any]

    @property
    def root(self) -> str:
        """The address without a path."""
        return self.url.rsplit("/", self.url.count("/") - 2)[0]


@contextlib.contextmanager
def ours(
    version: ModelVersion, log: Path, options: Sequence[str] = (), **environment: str
) -> Iterator[Target]:
    """``tuneserve serve`` on a version's store, with its defaults unless options say otherwise.

    No line per request is logged: the peers log none either. Every model of the store is served.
    What ``auto`` found in other runs is not used: the machine may have been busy then.
    """
    store = version.folder.parent.parent
    arguments = (f"--store={store}", "--no-access-log", *options)
    environment = {CACHE_VARIABLE: str(log.parent / "cache"), **environment}
    began = time.monotonic()
    with running(log, *arguments, **environment) as server:
        report = server.wait_ready(READY_WITHIN_S)
        facts = {**report, "ready_s": time.monotonic() - began}
        family = Family(server.process.pid, parts(report))
        yield Target(OURS, f"{server.url}/models/{version.name}", family, facts)


def parts(report: Mapping[str, Any]) -> dict[int, str]:
    """The names of our processes by pid, as /readyz tells them."""
    names = {int(report["http_pid"]): "http", int(report["server_pid"]): "parent"}
    return names | dict.fromkeys(map(int, report["engine_pids"]), "engine")


@contextlib.contextmanager
def peer(name: str, folder: Path, log: Path) -> Iterator[Target]:
    """A peer on a checkpoint folder, asleep: what polls must not cost others anything."""
    port = free_port()
    command = [sys.executable, "-m", PEERS[name], str(folder), str(port)]
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink)
    url = f"http://127.0.0.1:{port}/predict"
    try:
        _wait(url, process, log)
        family = Family(process.pid)
        family.sleep()
        yield Target(name, url, family, {})
    finally:
        _end(process)


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    ends = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < ends and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.post(url, json={"inputs": "warm up"}, timeout=60).status_code == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"not ready:\n{log.read_text()[-3000:]}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """SIGTERM to the parent, then SIGKILL to whatever it left behind."""
    if process.poll() is not None:
        return
    family = Family(process.pid).members()
    for one in family:
        one.resume()
    process.terminate()
    _, alive = psutil.wait_procs(family, timeout=5)
    for one in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait(timeout=10)
