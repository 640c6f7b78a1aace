"""What the server adds to one lone request, and what it uses while idle.

``python -m benchmarks.lone [--store store] [--model intent]`` starts the server, asks it one short
text after the other over one connection, and between those rounds times the bare model (tokenise
and ``backend.run``) in a process of its own, so that both see the same machine.
"""

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from contracts.schemas import ClassificationBody
from handlers.load import load_pipeline
from model_store.backends.base import BackendChoice
from model_store.backends.cpu import cpu_flags
from model_store.store import Store
from tests.running import RunningServer, running

TEXT = "Where is my parcel? It should have come on Monday."
ROUNDS, REQUESTS, IDLE_S = 6, 150, 15


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", default="store", type=Path)
    parser.add_argument("--model", default="intent")
    parser.add_argument("--bare", nargs=2, metavar=("BACKEND", "PRECISION"), help="(internal)")
    arguments = parser.parse_args()
    if arguments.bare:
        bare(arguments.store, arguments.model, *arguments.bare)
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder) / "log", f"--store={arguments.store}") as server,
    ):
        report = server.wait_ready()
        model = next(one for one in report["models"] if one["name"] == arguments.model)
        shown = (flag for flag in sorted(cpu_flags()) if flag.startswith(("amx", "avx")))
        print(f"cpu: {', '.join(shown)}")
        print(f"{arguments.model}: {model['backend']} {model['precision']}")
        idle(server)
        child = subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.lone", f"--store={arguments.store}"),
                *(f"--model={arguments.model}", "--bare", model["backend"], model["precision"]),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdin
        assert child.stdout
        child.stdout.readline()
        served: list[float] = []
        alone: list[float] = []
        for _ in range(ROUNDS):
            served += over_http(server, arguments.model)
            child.stdin.write("go\n")
            child.stdin.flush()
            alone += json.loads(child.stdout.readline())
        child.stdin.close()
        child.wait()
    http_ms, bare_ms = (statistics.median(each) * 1000 for each in (served, alone))
    print(
        f"client p50 {http_ms:.2f} ms, bare p50 {bare_ms:.2f} ms, added {http_ms - bare_ms:.2f} ms"
    )


def idle(server: RunningServer) -> None:
    """CPU of all processes while nobody asks."""
    time.sleep(2)
    family = server.family()
    before = sum(sum(one.cpu_times()[:2]) for one in family)
    time.sleep(IDLE_S)
    used = sum(sum(one.cpu_times()[:2]) for one in family) - before
    names = len(family)
    print(f"idle: {100 * used / IDLE_S:.2f}% of a core over {IDLE_S} s, {names} processes")


def over_http(server: RunningServer, model: str) -> list[float]:
    """Seconds per request over one kept connection."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    body = json.dumps({"inputs": TEXT, "parameters": {}})
    seconds = []
    for number in range(REQUESTS + 20):
        began = time.perf_counter()
        headers = {"content-type": "application/json"}
        connection.request("POST", f"/models/{model}", body, headers)
        answer = connection.getresponse()
        answer.read()
        if number >= 20:
            seconds.append(time.perf_counter() - began)
        assert answer.status == 200
    connection.close()
    return seconds


def bare(store: Path, model: str, backend: str, precision: str) -> None:
    """The child: tokenise and run, on the same backend; a round per line of standard input."""
    choice = BackendChoice(backend, precision)  # type: ignore[arg-type]
    pipeline = load_pipeline(Store(store).resolve(model), choice)
    items = ClassificationBody(inputs=TEXT).items()
    print("ready", flush=True)
    for _ in sys.stdin:
        seconds = []
        for number in range(REQUESTS + 20):
            began = time.perf_counter()
            (prepared,) = pipeline.handler.preprocess(items)
            rows = prepared.rows  # type: ignore[union-attr]
            pipeline.run(rows, pipeline.padded_length(rows[0]))
            if number >= 20:
                seconds.append(time.perf_counter() - began)
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main()
