"""Whether memory stays flat: mixed texts for as long as you like, and the memory before and after.

``python -m benchmarks.soak --minutes 60 [--serve=--backend=onnxruntime ...]``. Memory is the
proportional set size of all processes: when ready, after a minute of load (a tenth of the time, if
that is less), and ten times in the rest, the last time at the end.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.checkpoint import published
from benchmarks.machine import machine, sentence
from benchmarks.servers import Target, ours
from benchmarks.start import CLIENTS, GROWTH_BAR, PSS_MIB_BAR
from benchmarks.tables import table, verdict_table
from benchmarks.texts import MIXED, text_set, whole_words, write_bodies
from benchmarks.verdicts import at_most
from benchmarks.wrk import drive, find_wrk
from model_store.version import ModelVersion

WARM_UP_S = 60.0


def main() -> None:
    """Load, print, write."""
    arguments = options().parse_args()
    find_wrk()
    version = published(arguments.home / "store", base=arguments.base)
    result = {"kind": "soak", "machine": machine(), "minutes": arguments.minutes}
    result |= soaked(version, arguments)
    result["verdicts"] = [
        at_most("PSS MiB of all processes, at the end", result["looks"][-1]["mib"], PSS_MIB_BAR),
        at_most("memory at the end over that after warm-up", result["growth"], GROWTH_BAR),
    ]
    print(summary(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if result["failed"] else 0)


def options() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", default=60.0, type=float, help="of load, with warm-up")
    parser.add_argument("--clients", default=CLIENTS, type=int)
    parser.add_argument("--looks", default=10, type=int, help="at the memory, after warm-up")
    parser.add_argument("--home", default="build/bench", type=Path, help="keeps the model")
    parser.add_argument("--base", type=Path, help="a checkpoint folder instead of MiniLM")
    parser.add_argument("--out", type=Path, help="the result as JSON")
    parser.add_argument(
        "--serve",
        action="append",
        help="an option of the server; without any: --backend=onnxruntime --precision=int8",
    )
    return parser


def soaked(version: ModelVersion, arguments: argparse.Namespace) -> dict[str, Any]:
    """One server under load: what memory it held when, and the requests that failed."""
    serve = arguments.serve or ["--backend=onnxruntime", "--precision=int8"]
    with tempfile.TemporaryDirectory() as folder:
        texts = text_set(MIXED, whole_words(version.folder), most=version.manifest.max_tokens)
        bodies = write_bodies(texts, Path(folder, "bodies"))
        with ours(version, Path(folder, "log"), serve) as target:
            looks = list(stretches(target, bodies, arguments))
    return {
        "looks": looks,
        "growth": looks[-1]["mib"] / looks[1]["mib"],
        "requests": sum(look["requests"] for look in looks),
        "failed": sum(look["failed"] for look in looks),
    }


def stretches(
    target: Target, bodies: Path, arguments: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Memory when ready, after warm-up, and after each stretch of the rest."""
    began, seconds = time.monotonic(), 60 * arguments.minutes
    warm_up = min(WARM_UP_S, seconds / 10)
    yield look(target, began, "ready") | {"requests": 0, "failed": 0}
    for stretch in [warm_up] + [(seconds - warm_up) / arguments.looks] * arguments.looks:
        load = drive(target.url, bodies, arguments.clients, stretch)
        yield look(target, began, "loaded") | {"requests": load.requests, "failed": load.failed}


def look(target: Target, began: float, when: str) -> dict[str, Any]:
    """The memory of every part now, MiB."""
    parts = {name: size / 2**20 for name, size in target.family.pss_bytes().items()}
    return {
        "when": when,
        "at_s": round(time.monotonic() - began, 1),
        "mib": sum(parts.values()),
        "parts": parts,
    }


def summary(result: dict[str, Any]) -> str:
    """Bars, then a line per look."""
    rows = [
        [
            one["when"],
            f"{one['at_s']:.0f}",
            f"{one['mib']:.0f}",
            ", ".join(f"{part} {size:.0f}" for part, size in one["parts"].items()),
            str(one["requests"]),
        ]
        for one in result["looks"]
    ]
    first_line = (
        f"{sentence(result['machine'])}; {result['minutes']:g} minutes of mixed texts, "
        f"{result['requests']} requests, {result['failed']} failed; "
        f"grew by {result['growth']:.3f}x after warm-up."
    )
    head = ["when", "s", "PSS MiB", "by part", "requests"]
    return "\n\n".join([first_line, verdict_table(result["verdicts"]), table(head, rows)])


if __name__ == "__main__":
    main()
