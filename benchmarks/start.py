"""Seconds until the server is ready, and the memory that it holds, by backend.

``python -m benchmarks.start [--engines onnxruntime-int8,...] [--rounds 3] [--seconds 60]``. The
first start of each backend is not counted: it fills the caches, the page cache among them. Memory
is the proportional set size of all processes, when ready and after mixed texts of 16 clients.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.checkpoint import published
from benchmarks.machine import machine, sentence
from benchmarks.rounds import loaded
from benchmarks.servers import ours
from benchmarks.tables import table, verdict_table
from benchmarks.texts import MIXED, text_set, whole_words, write_bodies
from benchmarks.verdicts import Verdict, at_most
from benchmarks.wrk import find_wrk
from model_store.backends.cpu import bf16_is_fast
from model_store.version import ModelVersion

SMALL = "onnxruntime-int8"
"""The backend that the bars are for."""
READY_S_BAR, PSS_MIB_BAR, GROWTH_BAR = 3.0, 350.0, 1.2
CLIENTS = 16


def main() -> None:
    """Measure, print, write."""
    arguments = options().parse_args()
    find_wrk()
    version = published(arguments.home / "store", base=arguments.base)
    facts = machine()
    found = {name: started(version, name, arguments) for name in arguments.engines.split(",")}
    result = {"kind": "start", "machine": facts, "engines": found}
    result |= {"seconds": arguments.seconds, "verdicts": verdicts(found)}
    print(summary(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if any(one["failed"] for one in found.values()) else 0)


def options() -> argparse.ArgumentParser:
    """The command line."""
    names = [SMALL, "onnxruntime-fp32", "openvino-fp32", "torch-fp32"]
    names += ["openvino-bf16", "torch-bf16"] if bf16_is_fast() else []
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", default="build/bench", type=Path, help="keeps the model")
    parser.add_argument("--base", type=Path, help="a checkpoint folder instead of MiniLM")
    parser.add_argument("--out", type=Path, help="the result as JSON")
    parser.add_argument("--engines", default=",".join(names), help="commas")
    parser.add_argument("--rounds", default=3, type=int)
    parser.add_argument("--seconds", default=60.0, type=float, help="of mixed texts at the end")
    return parser


def started(version: ModelVersion, engine: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Some starts of one backend, and a load on the last."""
    backend, _, precision = engine.partition("-")
    serve = [f"--backend={backend}", f"--precision={precision}"]
    ready: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")  # the cache lies beside it, and lives over all starts
        texts = text_set(MIXED, whole_words(version.folder), most=version.manifest.max_tokens)
        bodies = write_bodies(texts, Path(folder, "bodies"))
        for number in range(arguments.rounds + 1):
            with ours(version, log, serve) as target:
                if number:
                    ready.append(target.facts["ready_s"])
                if number < arguments.rounds:
                    continue
                at_first = target.family.pss_bytes()
                warm = loaded(target, bodies, CLIENTS, min(10.0, arguments.seconds))
                before = sum(target.family.pss_bytes().values())
                load = loaded(target, bodies, CLIENTS, arguments.seconds)
                after = target.family.pss_bytes()
    return {
        "ready_s": statistics.median(ready),
        "starts": [round(one, 2) for one in ready],
        "pss_ready": at_first,
        "pss_loaded": after,
        "growth": sum(after.values()) / before,
        "failed": warm["failed"] + load["failed"],
    }


def verdicts(engines: dict[str, Any]) -> list[Verdict]:
    """What one int8 model may take."""
    one = engines.get(SMALL)
    ready, loaded_mib, growth = (
        (one["ready_s"], sum(one["pss_loaded"].values()) / 2**20, one["growth"])
        if one
        else (None, None, None)
    )
    return [
        at_most(f"{SMALL}: seconds until it is ready", ready, READY_S_BAR),
        at_most(f"{SMALL}: PSS MiB of all processes, loaded", loaded_mib, PSS_MIB_BAR),
        at_most(f"{SMALL}: memory at the end over that after 10 s", growth, GROWTH_BAR),
    ]


def summary(result: dict[str, Any]) -> str:
    """Bars, then a line per backend."""
    rows = []
    for name, one in result["engines"].items():
        by_part = ", ".join(
            f"{part} {size / 2**20:.0f}" for part, size in one["pss_loaded"].items()
        )
        first, last = (sum(one[key].values()) / 2**20 for key in ("pss_ready", "pss_loaded"))
        starts = ", ".join(f"{each:.2f}" for each in one["starts"])
        rows.append([name, f"{one['ready_s']:.2f}", starts, f"{first:.0f}", f"{last:.0f}", by_part])
    head = ["backend", "ready, s", "by start", "PSS MiB, ready", "PSS MiB, loaded", "by part"]
    first_line = f"{sentence(result['machine'])}; {result['seconds']:g} s of mixed texts."
    return "\n\n".join([first_line, verdict_table(result["verdicts"]), table(head, rows)])


if __name__ == "__main__":
    main()
