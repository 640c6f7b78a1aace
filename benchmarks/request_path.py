"""Microseconds of one request in each part of its way, measured in process, one part at a time.

``python -m benchmarks.request_path [--group 32]`` takes the parts of the way out of the server and
times each over the short texts: for a request that comes alone, and per request of a group that is
taken together. What uvicorn, the routes and the sockets cost is not here: see
``benchmarks.http_alone``, whose sum is larger by that.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from benchmarks.checkpoint import inputs_of, published
from benchmarks.machine import machine, sentence
from benchmarks.tables import table
from benchmarks.texts import SHORT, text_set, whole_words
from contracts.bodies import BODIES
from handlers.base import Prepared
from handlers.batching import plan_batches
from handlers.load import load_pipeline
from handlers.pipeline import Pipeline
from model_store.backends.base import BackendChoice
from model_store.version import ModelVersion
from server.messages import Done, Unpacker, Work, pack
from server.parsing import parse_any

BATCH_TOKENS = 2048

Step = tuple[str, Callable[[], Any]]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", default="build/bench", type=Path, help="keeps the model")
    parser.add_argument("--base", type=Path, help="a checkpoint folder instead of MiniLM")
    parser.add_argument("--out", type=Path, help="the result as JSON")
    parser.add_argument("--group", default=32, type=int, help="requests that are taken together")
    parser.add_argument("--rounds", default=5, type=int)
    arguments = parser.parse_args()
    version = published(arguments.home / "store", base=arguments.base)
    facts = machine()
    found = {
        str(group): measured(version, group, arguments.rounds) for group in (1, arguments.group)
    }
    result = {"kind": "request_path", "machine": facts, "groups": found}
    print(summary(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measured(version: ModelVersion, group: int, rounds: int) -> dict[str, float]:
    """Microseconds per request of each part, the median over rounds of all texts."""
    pipeline = load_pipeline(version, BackendChoice("fake"))
    assert isinstance(pipeline, Pipeline)
    texts = text_set(SHORT, whole_words(version.folder), most=version.manifest.max_tokens)
    groups = [texts[start : start + group] for start in range(0, len(texts), group)]
    ways = [steps(version, pipeline, one) for one in groups]
    times: dict[str, list[float]] = {}
    for _ in range(rounds + 1):  # the first one warms up
        sums: dict[str, float] = {}
        for way in ways:
            for name, run in way:
                began = time.perf_counter()
                run()
                sums[name] = sums.get(name, 0.0) + time.perf_counter() - began
        for name, seconds in sums.items():
            times.setdefault(name, []).append(seconds * 1e6 / len(texts))
    return {name: statistics.median(each[1:]) for name, each in times.items()}


def steps(version: ModelVersion, pipeline: Pipeline, texts: Sequence[str]) -> list[Step]:
    """The parts for requests that are taken together, each with what the one before it made."""
    task, handler = version.manifest.task, pipeline.handler
    raw = [orjson.dumps({"inputs": one}) for one in inputs_of(task, texts)]
    schema = BODIES[task]
    bodies = [parse_any([schema], one) for one in raw]
    works = [
        Work(number, "0123456789abcdef", version.id, body.items(), 0.0, 0.0)
        for number, body in enumerate(bodies)
    ]
    sent = b"".join(map(pack, works))
    items = [item for work in works for item in work.items]
    prepared = [one for one in handler.preprocess(items) if isinstance(one, Prepared)]
    rows = [row for one in prepared for row in one.rows]
    lengths = [pipeline.padded_length(row) for row in rows]
    batches = plan_batches(lengths, BATCH_TOKENS)

    def run() -> list[Any]:
        outputs: list[Any] = [None] * len(rows)
        for batch in batches:
            ran = pipeline.run([rows[index] for index in batch], lengths[batch[0]])
            for index, output in zip(batch, ran, strict=True):
                outputs[index] = output
        return outputs

    outputs = run()

    def answers() -> list[Any]:
        each = iter(outputs)
        return [
            handler.postprocess(item, one, [next(each) for _ in one.rows])
            for item, one in zip(items, prepared, strict=True)
        ]

    answered = answers()
    done = [Done(number, [one], 1, False, 0.0, 0.0, 0.0) for number, one in enumerate(answered)]
    back = b"".join(map(pack, done))
    return [
        ("parse and validate", lambda: [parse_any([schema], one).items() for one in raw]),
        ("pack for the engine", lambda: list(map(pack, works))),
        ("unpack in the engine", lambda: list(Unpacker().feed(sent))),
        ("tokenise", lambda: handler.preprocess(items)),
        ("schedule", lambda: plan_batches(list(map(pipeline.padded_length, rows)), BATCH_TOKENS)),
        ("pad, run a model that computes nothing, cut", run),
        ("post-process", answers),
        ("pack for HTTP", lambda: list(map(pack, done))),
        ("unpack in HTTP", lambda: list(Unpacker().feed(back))),
        (
            "shape and serialise",
            lambda: [
                orjson.dumps(body.shape_for("", [one]))
                for body, one in zip(bodies, answered, strict=True)
            ],
        ),
    ]


def summary(result: dict[str, Any]) -> str:
    """A line per part, and the sum."""
    groups = result["groups"]
    names = next(iter(groups.values()))
    rows = [[name, *(f"{found[name]:.1f}" for found in groups.values())] for name in names]
    rows.append(["sum", *(f"{sum(found.values()):.1f}" for found in groups.values())])
    head = ["part", *(f"µs per request, {group} at once" for group in groups)]
    return f"{sentence(result['machine'])}; short texts.\n\n{table(head, rows)}"


if __name__ == "__main__":
    main()
