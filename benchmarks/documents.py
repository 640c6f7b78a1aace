"""Documents of 2,000 tokens: NER and question answering with 16 clients, beside the bare engines.

``python -m benchmarks.documents [--rounds 3] [--seconds 8]`` makes a model of each task if
``--home`` does not hold it yet, serves both, and takes turns between the server and every engine.
The engines run the same windows of the same documents in batches of 4,096 tokens; they tokenise,
and make no answers of what comes out.

In a few seconds each client gets few answers, and what is half done at the end would be lost. So
the server's rate is the tokens that its engine ran between two looks at /metrics, divided by those
of one document.
"""

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from benchmarks.bare import engines
from benchmarks.ceilings import LONG, BareEngine, document_count
from benchmarks.checkpoint import inputs_of, published
from benchmarks.machine import compute_threads, machine, sentence
from benchmarks.rounds import loaded, middle
from benchmarks.servers import Target, ours
from benchmarks.tables import number, table, verdict_table
from benchmarks.texts import documents, whole_words, write_bodies
from benchmarks.verdicts import Verdict, at_least, divided
from benchmarks.wrk import find_wrk
from contracts.tasks import Task
from model_store.version import ModelVersion

TASKS = (Task.TOKEN_CLASSIFICATION, Task.QUESTION_ANSWERING)
CLIENTS = 16
DOCUMENT_TOKENS = 2000
BAR = 0.80
TOKENS = "tuneserve_tokens_real_total"
RAMP_S, SOON_S = 2.0, 0.5
"""Until every client waits for its first answer; and until a batch that ran is in the metrics."""


def main() -> None:
    """Measure, print, write."""
    arguments = options().parse_args()
    result = measure(arguments)
    print(summary(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if any(one["served"]["failed"] for one in result["tasks"].values()) else 0)


def options() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", default="build/bench", type=Path, help="keeps the models")
    parser.add_argument("--base", type=Path, help="a folder with a checkpoint per task, not MiniLM")
    parser.add_argument("--out", type=Path, help="the result as JSON")
    parser.add_argument("--rounds", default=3, type=int)
    parser.add_argument("--seconds", default=8.0, type=float)
    parser.add_argument("--engines", default=",".join(engines()), help="commas")
    parser.add_argument("--threads", default=compute_threads(), type=int, help="of the engines")
    parser.add_argument("--serve", action="append", default=[], help="an option of the server")
    return parser


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Each task in turn: some rounds of the server and of every engine."""
    find_wrk()
    bases = {task: arguments.base / task.value if arguments.base else None for task in TASKS}
    versions = {task: published(arguments.home / "documents", task, bases[task]) for task in TASKS}
    facts = machine()
    with tempfile.TemporaryDirectory() as folder:
        some = versions[TASKS[0]]
        with ours(some, Path(folder, "log"), arguments.serve) as target:
            found = {
                task.value: one_task(target, version, Path(folder), arguments)
                for task, version in versions.items()
            }
            served = [
                {key: one[key] for key in ("name", "backend", "precision")}
                for one in target.facts["models"]
            ]
    result = {"kind": "documents", "machine": facts, "served": served, "tasks": found}
    return result | {"verdicts": verdicts(found)}


def one_task(
    target: Target, version: ModelVersion, folder: Path, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Documents per second of the server and of every engine."""
    task, what = version.manifest.task, f"{LONG}{DOCUMENT_TOKENS}"
    texts = documents(DOCUMENT_TOKENS, document_count(DOCUMENT_TOKENS), whole_words(version.folder))
    bodies = write_bodies(inputs_of(task, texts), folder / task.value)
    mine = Target(target.name, f"{target.root}/models/{version.name}", target.family, target.facts)
    rates: dict[str, list[float]] = {}
    cells = []
    with contextlib.ExitStack() as stack:
        bare = [
            stack.enter_context(BareEngine(version.folder, name, arguments.threads))
            for name in arguments.engines.split(",")
        ]
        for engine in bare:
            engine.measure(what, 0)  # loads, and meets every shape
        for _ in range(arguments.rounds):
            cells.append(worked(mine, version, bodies, arguments.seconds))
            for engine in bare:
                round_ = engine.measure(what, arguments.seconds / 2)
                if "error" not in round_:
                    rates.setdefault(engine.name, []).append(round_["per_second"])
    served = middle(cells) | {
        key: statistics.median(one[key] for one in cells) for key in ("documents_per_second",)
    }
    medians = {name: statistics.median(each) for name, each in rates.items()}
    return {"served": served, "engines": medians}


def worked(target: Target, version: ModelVersion, bodies: Path, seconds: float) -> dict[str, Any]:
    """One load, with the documents per second that the engine ran in its steady part."""
    body = bodies.read_text(encoding="utf-8").splitlines()[0]
    before = ran_tokens(target.root, version.name)
    httpx.post(target.url, content=body, timeout=60).raise_for_status()
    time.sleep(SOON_S)
    of_one = ran_tokens(target.root, version.name) - before
    target.family.settle()
    with ThreadPoolExecutor(1) as beside:
        load = beside.submit(loaded, target, bodies, CLIENTS, seconds + RAMP_S + SOON_S)
        time.sleep(RAMP_S)
        before, began = ran_tokens(target.root, version.name), time.perf_counter()
        time.sleep(seconds)
        tokens = ran_tokens(target.root, version.name) - before
        took = time.perf_counter() - began
        cell = load.result()
    return cell | {"documents_per_second": tokens / of_one / took}


def ran_tokens(root: str, model: str) -> float:
    """Tokens without padding that the engine has run for a model."""
    lines = httpx.get(f"{root}/metrics", timeout=60).text.splitlines()
    ours = [line for line in lines if line.startswith(f"{TOKENS}{{") and f'"{model}' in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in ours)


def verdicts(tasks: dict[str, Any]) -> list[Verdict]:
    """The share of the best engine, per task."""
    lines = []
    for name, one in tasks.items():
        best = max(one["engines"].values(), default=None)
        share = divided(one["served"]["documents_per_second"], best)
        lines.append(at_least(f"16 clients, {name}: share of the best engine", share, BAR))
    return lines


def summary(result: dict[str, Any]) -> str:
    """Bars, then a line per task and engine."""
    served = {one["name"]: f"{one['backend']} {one['precision']}" for one in result["served"]}
    rows = []
    for name, one in result["tasks"].items():
        cell = one["served"]
        spent = sum(cell["cpu_ms"].values())
        latency = [f"{cell['p50_ms']:,.0f}", f"{cell['p99_ms']:,.0f}", f"{spent:.0f}"]
        rows.append(
            [name, f"tuneserve ({served[name]})", number(cell["documents_per_second"]), *latency]
        )
        rows += [
            [name, engine, number(rate), "", "", ""] for engine, rate in one["engines"].items()
        ]
    head = ["task", "what", "documents/s", "p50 ms", "p99 ms", "CPU ms per document"]
    first = f"{sentence(result['machine'])}; documents of {DOCUMENT_TOKENS} tokens."
    return "\n\n".join([first, verdict_table(result["verdicts"]), table(head, rows)])


if __name__ == "__main__":
    main()
