"""A minute of chatbot turns and recommender bursts at once; does the server hold its limits?

    python -m loadtests.run [--url http://127.0.0.1:8000] [--seconds 60] [--users 8]

Without --url it starts a server of its own on a free port, from SERVE_STORE and whatever else
SERVE_* says. Exit code 0: every limit of limits.toml holds; 1: one is missed, or an answer was
wrong; 2: the test could not be run.
"""

import argparse
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from loadtests.limits import LIMITS, Limits, Measured, missed, read_limits

READY_WITHIN_S = 600.0
"""A first start may export plain checkpoints to ONNX."""
MODELS = ("intent", "entities", "qa")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class CannotRun(Exception):
    """The load test cannot be run; the sentence says what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print a table, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.run", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--url", help="a running server on this machine; default: start one")
    parser.add_argument("--seconds", type=float, default=60.0, help="default: 60")
    parser.add_argument("--users", type=int, default=8, help="chatbot users; default: 8")
    parser.add_argument("--limits", type=Path, default=LIMITS, help="default: %(default)s")
    given = parser.parse_args(arguments)
    try:
        limits = read_limits(given.limits)
        with _server(given.url) as url:
            measured, errors = _drive(url, given.seconds, given.users)
    except CannotRun as error:
        print(f"loadtests: {error}", file=sys.stderr)
        return 2
    print(table(measured, limits))
    for text, count in errors.items():
        print(f"{count} times {text}")
    sentences = missed(measured, limits)
    print("\n".join(f"MISSED  {one}" for one in sentences) or "Every limit holds.")
    return 1 if sentences else 0


def table(measured: Sequence[Measured], limits: Mapping[str, Limits]) -> str:
    """What was measured, in columns, with the limit behind each figure of a scenario."""
    rows = [("", "requests", "failed", "wrong", "p50 ms", "p99 ms", "per second")]
    for one in measured:
        limit = limits.get(one.name)
        p50, p99, rate = f"{one.p50_ms:.0f}", f"{one.p99_ms:.0f}", f"{one.per_second:.2f}"
        if limit:
            p50 += f" (<= {limit.max_p50_ms:.0f})"
            p99 += f" (<= {limit.max_p99_ms:.0f})"
            rate += f" (>= {limit.min_per_second:.2f})"
        counts = (str(one.requests), str(one.failures), str(one.wrong))
        rows.append((one.name, *counts, p50, p99, rate))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def _drive(url: str, seconds: float, users: int) -> tuple[list[Measured], dict[str, int]]:
    """What loadtests.drive measured, in a process of its own."""
    command = [sys.executable, "-m", "loadtests.drive", url, str(seconds), str(users)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=Path(__file__).parent.parent, check=False
    )
    if done.returncode:
        raise CannotRun(f"the driver ended with {done.returncode}:\n{done.stderr[-2000:]}")
    result = json.loads(done.stdout)
    return [Measured(**one) for one in result["measured"]], result["errors"]


@contextlib.contextmanager
def _server(url: str | None) -> Iterator[str]:
    """The URL of a server that is ready and has the models; one that was started is ended again."""
    if url is not None:
        if urlsplit(url).hostname not in LOOPBACK:
            raise CannotRun(f"{url} is another machine; load tests only ask servers on this one.")
        _check_models(_wait_ready(url, None, None))
        yield url.rstrip("/")
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("tuneserve"), "serve", "--port", str(port)],
            stderr=log,
            env={**os.environ, "SERVE_HOST": "127.0.0.1", "SERVE_ACCESS_LOG": "false"},
        )

        def last_lines() -> str:
            log.seek(0)
            return log.read()[-2000:]

        try:
            url = f"http://127.0.0.1:{port}"
            try:
                _check_models(_wait_ready(url, process, READY_WITHIN_S))
            except CannotRun as error:
                raise CannotRun(f"{error}\n{last_lines()}") from None
            yield url
        finally:
            process.terminate()
            process.wait()


def _wait_ready(
    url: str, process: subprocess.Popen[bytes] | None, within_s: float | None
) -> list[str]:
    """Ask /readyz until it says yes; the names of the models that are ready.

    Raises:
        CannotRun: it does not within that time (None: at once), or the process ended.
    """
    parts = urlsplit(url)
    ends = time.monotonic() + (within_s or 0.0)
    while True:
        reason = "no answer"
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=10)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            report = json.loads(answer.read())
            if answer.status == 200:
                return [one["name"] for one in report["models"] if one["state"] == "ready"]
            reason = report["state"]
        if process is not None and process.poll() is not None:
            raise CannotRun(f"the server ended with {process.returncode}.")
        if time.monotonic() > ends:
            raise CannotRun(f"{url} is not ready: {reason}.")
        time.sleep(0.1)


def _check_models(ready: Sequence[str]) -> None:
    lacking = [name for name in MODELS if name not in ready]
    if lacking:
        raise CannotRun(
            f"the server has no model {', '.join(lacking)}: `make models` trains the embedded ones."
        )


if __name__ == "__main__":
    sys.exit(main())
