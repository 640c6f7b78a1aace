"""HTTP, queue and answers without a model: ``tuneserve serve --backend fake`` under load.

``python -m benchmarks.http_alone [--clients 16,64,256] [--rounds 3] [--seconds 4]`` prints requests
per second and the processor's time per request over all processes, tokenising included.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.checkpoint import published
from benchmarks.machine import machine, sentence
from benchmarks.rounds import loaded, middle
from benchmarks.servers import ours
from benchmarks.tables import load_table, verdict_table
from benchmarks.texts import SHORT, text_set, whole_words, write_bodies
from benchmarks.verdicts import Verdict, at_least, at_most
from benchmarks.wrk import find_wrk
from model_store.version import ModelVersion

RATE_BAR, RATE_AIM = 2000.0, 2500.0
CPU_MS_BAR = 0.45
JUDGED = "64"
"""Clients for which the bars are told."""


def main() -> None:
    """Measure, print, write."""
    arguments = options().parse_args()
    result = measure(arguments)
    print(summary(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if any(cell["failed"] for cell in result["loads"].values()) else 0)


def options() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", default="build/bench", type=Path, help="keeps the model")
    parser.add_argument("--base", type=Path, help="a checkpoint folder instead of MiniLM")
    parser.add_argument("--out", type=Path, help="the result as JSON")
    parser.add_argument("--clients", default="16,64,256", help="commas")
    parser.add_argument("--rounds", default=3, type=int)
    parser.add_argument("--seconds", default=4.0, type=float)
    parser.add_argument("--serve", action="append", default=[], help="an option of the server")
    return parser


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole run."""
    find_wrk()
    version = published(arguments.home / "store", base=arguments.base)
    facts = machine()
    loads = measured(
        version, arguments.clients, arguments.rounds, arguments.seconds, arguments.serve
    )
    return {"kind": "http_alone", "machine": facts, "loads": loads, "verdicts": verdicts(loads)}


def measured(
    version: ModelVersion, clients: str, rounds: int, seconds: float, serve: Sequence[str] = ()
) -> dict[str, Any]:
    """Short texts, every number of clients in turn, some rounds; medians by clients."""
    texts = text_set(SHORT, whole_words(version.folder), most=version.manifest.max_tokens)
    counts = clients.split(",")
    options = [*serve, "--backend=fake", "--precision=auto"]
    with tempfile.TemporaryDirectory() as folder:
        bodies = write_bodies(texts, Path(folder, "bodies"))
        with ours(version, Path(folder, "log"), options) as target:
            found = [
                {one: loaded(target, bodies, int(one), seconds) for one in counts}
                for _ in range(rounds)
            ]
    return {one: middle([each[one] for each in found]) for one in counts}


def verdicts(loads: dict[str, Any]) -> Sequence[Verdict]:
    """Requests per second, and what each costs over all processes."""
    cell = loads.get(JUDGED)
    rate = None if cell is None else cell["per_second"]
    spent = None if cell is None else sum(cell["cpu_ms"].values())
    return [
        at_least("HTTP alone, 64 clients: requests/s", rate, RATE_BAR, RATE_AIM),
        at_most("HTTP alone, 64 clients: CPU ms per request", spent, CPU_MS_BAR),
    ]


def summary(result: dict[str, Any]) -> str:
    """Bars, then a line per number of clients."""
    first = sentence(result["machine"])
    return "\n\n".join([first, verdict_table(result["verdicts"]), load_table(result["loads"])])


if __name__ == "__main__":
    main()
