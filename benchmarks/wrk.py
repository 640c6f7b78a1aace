"""The load generator: wrk, a closed loop of clients, each with one request on its way at a time."""

import json
import os
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CYCLE = Path(__file__).with_name("cycle.lua")
MARK = "RESULT "
TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk saw.

    ``requests`` were answered, whatever the status; ``errors`` counts by kind: ``connect``,
    ``read``, ``write``, ``timeout`` and ``status`` (400 and above, which are among the requests).
    """

    requests: int
    seconds: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    errors: dict[str, int]

    @property
    def failed(self) -> int:
        """Requests that brought no good answer."""
        return sum(self.errors.values())

    @property
    def per_second(self) -> float:
        """Good answers per second."""
        return (self.requests - self.errors["status"]) / self.seconds

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "failed": self.failed, "per_second": self.per_second}


def drive(url: str, bodies: Path, clients: int, seconds: float) -> Load:
    """Send the bodies in turn with so many clients for so long.

    Args:
        url: with its path.
        bodies: a JSON body per line.
        clients: connections, each in a closed loop.
        seconds: whole ones; wrk knows no others.

    Raises:
        RuntimeError: wrk cannot run, or says nothing.
    """
    command = [find_wrk(), "-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s"]
    command += [f"--timeout={TIMEOUT_S}s", f"--script={CYCLE}", url, "--", str(bodies)]
    return parse(run(command))


def parse(output: str) -> Load:
    """Read the line that ``cycle.lua`` prints.

    Raises:
        RuntimeError: there is none.
    """
    return Load(**result_line(output))


def result_line(output: str) -> dict[str, Any]:
    """The JSON that a script of ours prints at its end.

    Raises:
        RuntimeError: there is none.
    """
    for line in output.splitlines():
        if line.startswith(MARK):
            found: dict[str, Any] = json.loads(line.removeprefix(MARK))
            return found
    raise RuntimeError(f"wrk printed no result:\n{output}")


def run(command: list[str]) -> str:
    """What wrk prints.

    Raises:
        RuntimeError: it fails.
    """
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"wrk failed: {done.stderr or done.stdout}")
    return done.stdout


def find_wrk() -> str:
    """The path of wrk; it is installed from the distribution's packages where that is allowed.

    Raises:
        RuntimeError: it is not there and cannot be installed.
    """
    found = shutil.which("wrk")
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-qq"], check=False, capture_output=True)
        subprocess.run(["apt-get", "install", "-qq", "-y", "wrk"], check=False, capture_output=True)
        found = shutil.which("wrk")
    if found is None:
        raise RuntimeError(
            "The load generator wrk is not installed: run `apt-get install wrk` (Debian, Ubuntu), "
            "`brew install wrk` (macOS), or build it from its source."
        )
    return found
