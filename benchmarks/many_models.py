"""What a model more costs: 1, 10 and 100 tiny models in one server, asked in turn.

``python -m benchmarks.many_models [--counts 1,10,100]``. The models have two layers of 32, so that
computing costs next to nothing, and run on torch, which loads a folder as it is.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.machine import machine, sentence
from benchmarks.processes import Family
from benchmarks.rounds import loaded
from benchmarks.servers import OURS, Target, parts
from benchmarks.tables import table
from benchmarks.texts import text_set, whole_words, write_bodies
from benchmarks.wrk import find_wrk
from contracts.tasks import Task
from tests.models import tiny_checkpoint
from tests.running import running
from train.base_model import quiet_transformers

CLIENTS = 16
OPTIONS = ("--backend=torch", "--precision=fp32", "--no-access-log")
READY_WITHIN_S = 300


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="the result as JSON")
    parser.add_argument("--counts", default="1,10,100", help="commas")
    parser.add_argument("--seconds", default=5.0, type=float)
    arguments = parser.parse_args()
    find_wrk()
    facts = machine()
    counts = {count: served(int(count), arguments.seconds) for count in arguments.counts.split(",")}
    result = {"kind": "many_models", "machine": facts, "counts": counts}
    print(summary(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if any(cell["failed"] for cell in counts.values()) else 0)


def served(count: int, seconds: float) -> dict[str, Any]:
    """One server with so many models."""
    with tempfile.TemporaryDirectory() as root:
        home = Path(root)
        names = [f"tiny-{number}" for number in range(count)]
        with quiet_transformers():
            folders = [
                tiny_checkpoint(home / name, "bert", Task.TEXT_CLASSIFICATION, seed=number)
                for number, name in enumerate(names)
            ]
        models = [f"--model={name}={one}" for name, one in zip(names, folders, strict=True)]
        texts = text_set("short", whole_words(folders[0]), most=64)
        bodies = write_bodies(texts, home / "bodies", asked=[f"/models/{one}" for one in names])
        with running(home / "log", f"--store={home / 'store'}", *OPTIONS, *models) as server:
            report = server.wait_ready(READY_WITHIN_S)
            family = Family(server.process.pid, parts(report))
            target = Target(OURS, f"{server.url}/models/{names[0]}", family, report)
            loaded(target, bodies, CLIENTS, 1)  # each model's first answers
            cell = loaded(target, bodies, CLIENTS, seconds)
            return cell | {"pss_mib": sum(family.pss_bytes().values()) / 2**20}


def summary(result: dict[str, Any]) -> str:
    """A line per number of models."""
    rows = [
        [
            *(count, f"{cell['per_second']:,.0f}", f"{cell['p50_ms']:.1f}"),
            *(f"{cell['p99_ms']:.1f}", f"{sum(cell['cpu_ms'].values()):.2f}"),
            *(f"{cell['pss_mib']:,.0f}", str(cell["failed"])),
        ]
        for count, cell in result["counts"].items()
    ]
    head = ["models", "requests/s", "p50 ms", "p99 ms", "CPU ms per request", "PSS MiB", "failed"]
    return f"{sentence(result['machine'])}; {CLIENTS} clients.\n\n{table(head, rows)}"


if __name__ == "__main__":
    main()
