"""Texts of one length, from 8 to 8,192 tokens, beside the bare engine that serves them.

``python -m benchmarks.text_lengths [--lengths 8,32,128,512,2048,8192] [--rounds 2] [--seconds 5]``.
What is longer than the model takes is read in windows, whose logits are averaged.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.ceilings import LONG, BareEngine, document_count
from benchmarks.checkpoint import WINDOWS, published
from benchmarks.documents import CLIENTS, worked
from benchmarks.machine import compute_threads, machine, sentence
from benchmarks.rounds import middle
from benchmarks.servers import ours
from benchmarks.tables import number, table
from benchmarks.texts import SPECIAL, documents, whole_words, write_bodies
from benchmarks.verdicts import divided
from benchmarks.wrk import find_wrk

LENGTHS = "8,32,128,512,2048,8192"


def main() -> None:
    """Measure, print, write."""
    arguments = options().parse_args()
    result = measure(arguments)
    print(summary(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if any(one["served"]["failed"] for one in result["lengths"].values()) else 0)


def options() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", default="build/bench", type=Path, help="keeps the model")
    parser.add_argument("--base", type=Path, help="a checkpoint folder instead of MiniLM")
    parser.add_argument("--out", type=Path, help="the result as JSON")
    parser.add_argument("--lengths", default=LENGTHS, help="tokens, special ones included; commas")
    parser.add_argument("--rounds", default=2, type=int)
    parser.add_argument("--seconds", default=5.0, type=float)
    parser.add_argument("--threads", default=compute_threads(), type=int, help="of the engine")
    parser.add_argument("--serve", action="append", default=[], help="an option of the server")
    return parser


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Each length in turn: the server, then the engine that it chose."""
    find_wrk()
    version = published(arguments.home / "store", base=arguments.base)
    words = whole_words(version.folder)
    facts = machine()
    found: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        ours(version, Path(folder, "log"), arguments.serve) as target,
    ):
        (served,) = target.facts["models"]
        engine_name = f"{served['backend']}-{served['precision']}"
        with BareEngine(version.folder, engine_name, arguments.threads) as engine:
            for tokens in map(int, arguments.lengths.split(",")):
                inner = tokens - SPECIAL
                texts = documents(inner, document_count(inner), words)
                bodies = write_bodies(texts, Path(folder, "bodies"), WINDOWS)
                cells, rates = [], []
                for _ in range(arguments.rounds):
                    cells.append(worked(target, version, bodies, arguments.seconds))
                    bare = engine.measure(f"{LONG}{inner}", arguments.seconds / 2)
                    rates.append(bare["per_second"])
                rate = statistics.median(one["documents_per_second"] for one in cells)
                found[str(tokens)] = {
                    "served": middle(cells) | {"texts_per_second": rate},
                    "engine": statistics.median(rates),
                }
    return {"kind": "text_lengths", "machine": facts, "engine": engine_name, "lengths": found}


def summary(result: dict[str, Any]) -> str:
    """A line per length."""
    rows = []
    for tokens, one in result["lengths"].items():
        cell = one["served"]
        rate = cell["texts_per_second"]
        rows.append(
            [
                *(tokens, number(divided(rate, one["engine"])), f"{rate:,.1f}"),
                *(f"{rate * int(tokens):,.0f}", f"{one['engine']:,.1f}"),
                *(f"{cell['p50_ms']:,.0f}", f"{cell['p99_ms']:,.0f}"),
            ]
        )
    head = ["tokens", "share of the engine", "texts/s", "tokens/s", "engine, texts/s"]
    first = f"{sentence(result['machine'])}; {result['engine']}; {CLIENTS} clients."
    return "\n\n".join([first, table([*head, "p50 ms", "p99 ms"], rows)])


if __name__ == "__main__":
    main()
