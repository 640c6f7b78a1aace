"""What each engine does with the same texts in process, without HTTP: the ceiling of a server.

Every engine has a process to itself, which tokenises, sorts by length, and runs batches of 4,096
padded tokens; alone it is given one short text after the other. It measures when it is told to, so
that the rounds of all engines and servers can take turns.

``python -m benchmarks.ceilings [--home build/bench] [--engines openvino-bf16,...]`` prints a table.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from benchmarks.bare import Run, engines, open_bare
from benchmarks.checkpoint import items, published
from benchmarks.machine import compute_threads, print_machine
from benchmarks.texts import SETS, SHORT, documents, text_set, whole_words
from contracts.tensors import IDS, Tensors
from handlers.base import Prepared
from handlers.load import load_handler
from handlers.tokenization import Row, TextTokenizer
from model_store.manifest import read_manifest

BATCH_TOKENS = 4096
LONE = "lone"
LONG = "texts of tokens: "
"""Followed by how many: texts of one length, read in the server's windows."""
LONG_TOKENS = 49_152
"""Of all texts of one length together, about."""


def main() -> None:
    """Measure each engine and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", default="build/bench", type=Path)
    parser.add_argument("--engines", default=",".join(engines()))
    parser.add_argument("--seconds", default=2.0, type=float)
    parser.add_argument("--threads", default=compute_threads(), type=int)
    parser.add_argument("--child", nargs=2, metavar=("FOLDER", "ENGINE"), help="(internal)")
    arguments = parser.parse_args()
    if arguments.child:
        folder, engine = arguments.child
        serve_orders(Path(folder), engine, arguments.threads)
        return
    version = published(arguments.home / "store")
    print_machine()
    print(
        "| engine | short texts/s | mixed texts/s | a lone short text, p50 ms |\n|---|---|---|---|"
    )
    for name in arguments.engines.split(","):
        with BareEngine(version.folder, name, arguments.threads) as engine:
            short, mixed = (engine.measure(one, arguments.seconds) for one in SETS)
            lone = engine.measure(LONE, arguments.seconds)
        if "error" in short:
            print(f"| {name} | {short['error']} |", flush=True)
            continue
        print(
            f"| {name} | {short['per_second']:,.0f} | {mixed['per_second']:,.0f} "
            f"| {lone['p50_ms']:.2f} |",
            flush=True,
        )


class BareEngine:
    """The parent's end of one engine's process."""

    def __init__(self, folder: Path, engine: str, threads: int) -> None:
        """Start the process; it loads while others do."""
        self.name = engine
        command = [sys.executable, "-m", "benchmarks.ceilings", "--child", str(folder), engine]
        self._process = subprocess.Popen(
            [*command, f"--threads={threads}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def measure(self, what: str, seconds: float) -> dict[str, Any]:
        """One round.

        Args:
            what: a set of texts, ``lone``, or ``LONG`` and a number of tokens.
            seconds: about how long.

        Returns:
            ``per_second`` (texts) and ``cpu_ms`` of each for a set, ``p50_ms`` for ``lone``; or
            ``error``, where the engine does not run here.
        """
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(json.dumps({"what": what, "seconds": seconds}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self._process.stdout.readline()
        found: dict[str, Any] = json.loads(line) if line else {"error": "it ended"}
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(timeout=60)


def serve_orders(folder: Path, engine: str, threads: int) -> None:
    """The child: load, then one round per line of standard input."""
    try:
        bare = Bare(folder, engine, threads)
    except Exception as error:  # runtimes raise what they like; the table says it
        for _ in sys.stdin:
            print(json.dumps({"error": str(error).strip().splitlines()[0][:200]}), flush=True)
        return
    for line in sys.stdin:
        order = json.loads(line)
        if order["what"] == LONE:
            found = {"p50_ms": bare.lone_ms(order["seconds"])}
        else:
            found = bare.rate(order["what"], order["seconds"])
        print(json.dumps(found), flush=True)


class Bare:
    """A tokenizer and an engine; every shape is met once before anything is timed."""

    def __init__(self, folder: Path, engine: str, threads: int) -> None:
        manifest = read_manifest(folder)
        self._tokenizer = TextTokenizer.load(folder, manifest.max_tokens)
        self._handler = load_handler(manifest, self._tokenizer)
        self._words = words = whole_words(folder)
        self._texts = {one: text_set(one, words, most=manifest.max_tokens) for one in SETS}
        self._run: Run = open_bare(folder, manifest.task, engine, threads)
        self._warm: set[str] = set()

    def rate(self, name: str, seconds: float) -> dict[str, float]:
        """Texts per second over whole passes, and the processor's milliseconds for each."""
        if name not in self._warm:
            self._pass(name)
            self._warm.add(name)
        began, cpu = time.perf_counter(), time.process_time()
        texts = 0
        while not texts or time.perf_counter() - began < seconds:
            texts += self._pass(name)
        took, used = time.perf_counter() - began, time.process_time() - cpu
        return {"per_second": texts / took, "cpu_ms": used * 1000 / texts}

    def lone_ms(self, seconds: float) -> float:
        """The median time of one short text, tokenised and run."""
        texts = self._texts[SHORT]
        if LONE not in self._warm:
            for text in texts[:100]:
                self._one(text)
            self._warm.add(LONE)
        began = time.perf_counter()
        times: list[float] = []
        while not times or time.perf_counter() - began < seconds:
            start = time.perf_counter()
            self._one(texts[len(times) % len(texts)])
            times.append((time.perf_counter() - start) * 1000)
        return statistics.median(times)

    def _one(self, text: str) -> None:
        self._run(pad([self._tokenizer.row(self._tokenizer.encode([text])[0].ids)]))

    def _pass(self, name: str) -> int:
        if name in SETS:
            texts = self._texts[name]
            rows = [self._tokenizer.row(one.ids) for one in self._tokenizer.encode(texts)]
        else:
            tokens = int(name.removeprefix(LONG))
            texts = documents(tokens, document_count(tokens), self._words)
            rows = self._windows(texts)
        run_sorted(self._run, rows)
        return len(texts)

    def _windows(self, texts: Sequence[str]) -> list[Row]:
        """The rows in which the server reads long texts; who reads fewer does less work."""
        prepared = self._handler.preprocess(items(self._handler.task, texts))
        return [row for one in prepared if isinstance(one, Prepared) for row in one.rows]


def run_sorted(run: Run, rows: Sequence[Row]) -> None:
    """Run rows in batches of one length and the next, each within ``BATCH_TOKENS`` as padded."""
    batch: list[Row] = []
    for row in sorted(rows, key=len):
        if batch and len(row) * (len(batch) + 1) > BATCH_TOKENS:
            run(pad(batch))
            batch = []
        batch.append(row)
    run(pad(batch))


def document_count(tokens: int) -> int:
    """How many texts of one length are measured with."""
    return max(8, min(512, LONG_TOKENS // tokens))


def pad(rows: Sequence[Row]) -> Tensors:
    """The arrays of a batch, as long as its longest row."""
    shape = (len(rows), max(map(len, rows)))
    ids, mask, types = (np.zeros(shape, dtype=IDS) for _ in range(3))
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row.input_ids
        mask[index, : len(row)] = 1
        types[index, : len(row)] = row.token_type_ids
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


if __name__ == "__main__":
    main()
