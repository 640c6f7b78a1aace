"""What eight long answers cost a classification that comes beside them.

``python -m benchmarks.lanes --store store [--model intent] [--rounds 3]`` serves the store's
classifier and a BART of 53 M parameters (``benchmarks.generation``), asks the classifier with four
clients for a while, then again while eight streams of 256 tokens run without a pause, and prints
both p99s and their ratio.
"""

import argparse
import http.client
import json
import statistics
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.generation import make_bart, text
from model_store.backends.cpu import cpu_flags
from tests.running import RunningServer, running

CLIENTS, LONG, SECONDS = 4, 8, 12.0
TEXT = "Where is my parcel? It should have come on Monday."


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", default="store", type=Path)
    parser.add_argument("--model", default="intent")
    parser.add_argument("--rounds", default=3, type=int)
    arguments = parser.parse_args()
    shown = (flag for flag in sorted(cpu_flags()) if flag.startswith(("amx", "avx512")))
    print(f"cpu: {', '.join(shown)}")
    with tempfile.TemporaryDirectory() as home:
        bart = make_bart(Path(home) / "bart")
        options = (f"--store={arguments.store}", f"--model=bart={bart}")
        with running(Path(home) / "log", *options, SERVE_ACCESS_LOG="false") as server:
            server.wait_ready(600)
            classify(server, arguments.model, 3.0)
            ratios = [one_round(server, arguments.model) for _ in range(arguments.rounds)]
    print(f"p99 with over without: median {statistics.median(ratios):.2f} of {ratios}")


def one_round(server: RunningServer, model: str) -> float:
    """The ratio of p99 with long answers to p99 without."""
    without = classify(server, model, SECONDS)
    over = threading.Event()
    long = [threading.Thread(target=keep_generating, args=(server, n, over)) for n in range(LONG)]
    for one in long:
        one.start()
    time.sleep(2)
    tokens = server.metric("tuneserve_generated_tokens_total")
    began = time.perf_counter()
    with_long = classify(server, model, SECONDS)
    seconds = time.perf_counter() - began
    rate = (server.metric("tuneserve_generated_tokens_total") - tokens) / seconds
    over.set()
    for one in long:
        one.join()
    before, beside = (
        [percentile(times, percent) for percent in (50, 99)] for times in (without, with_long)
    )
    ratio = beside[1] / before[1]
    print(
        f"classification p50 / p99: {before[0]:.1f} / {before[1]:.1f} ms without,"
        f" {beside[0]:.1f} / {beside[1]:.1f} ms beside"
        f" {LONG} long answers ({rate:.0f} tokens/s): p99 times {ratio:.2f};"
        f" {len(without)} and {len(with_long)} requests"
    )
    return round(ratio, 2)


def classify(server: RunningServer, model: str, seconds: float) -> list[float]:
    """Milliseconds of each request of four clients in a closed loop."""
    ends = time.perf_counter() + seconds
    times: list[float] = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        body = json.dumps({"inputs": TEXT, "parameters": {}})
        while time.perf_counter() < ends:
            began = time.perf_counter()
            headers = {"content-type": "application/json"}
            connection.request("POST", f"/models/{model}", body, headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
            times.append((time.perf_counter() - began) * 1000)
            time.sleep(0.02)  # a person's pace: the classifier is not saturated by itself

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return times


def keep_generating(server: RunningServer, number: int, over: threading.Event) -> None:
    """One long answer after the other."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    given = {"max_new_tokens": 256, "min_new_tokens": 256}
    body = json.dumps({"inputs": text(number), "parameters": given})
    while not over.is_set():
        headers = {"content-type": "application/json", "x-request-timeout-ms": "600000"}
        connection.request("POST", "/models/bart", body, headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200


def percentile(times: list[float], percent: int) -> float:
    """Nearest rank."""
    ranked = sorted(times)
    return ranked[min(len(ranked) - 1, len(ranked) * percent // 100)]


if __name__ == "__main__":
    main()
