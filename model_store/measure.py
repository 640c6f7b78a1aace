"""The child that measures candidates of one runtime: a JSON order on stdin, seconds on stdout.

Runs as ``python -m model_store.measure``; see ``model_store.timings``.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from contracts.errors import CheckpointError
from contracts.tensors import Tensors
from model_store.backends.base import Backend
from model_store.backends.load import open_candidate
from model_store.choose import Candidate
from model_store.export import sample_inputs
from model_store.files import read_json
from model_store.generating import encoder_config
from model_store.manifest import Manifest
from model_store.measure_seq2seq import measure_part
from model_store.version import ModelVersion

LONE = (1, 16)
BATCH = (16, 32)
"""Rows and tokens: one short text, and the batch that forms under load."""

BATCH_TOKENS = (256, 512, 1024, 2048)
"""Token budgets that are tried."""

WORTH = 0.95
"""A larger batch has to take at most this share of the time per token: it makes others wait."""

BUDGET_S = 0.6
"""For each shape, after a warm-up."""


def measure(backend: Backend, vocabulary: int, max_tokens: int) -> dict[str, float]:
    """Seconds of a lone short row (``lone_s``) and of one row of a batch (``row_s``).

    ``batch_tokens`` is the least of ``BATCH_TOKENS`` that is about as fast per token as any.
    """
    lone = _seconds(backend, _full(vocabulary, LONE[0], min(LONE[1], max_tokens)))
    batch = _seconds(backend, _full(vocabulary, BATCH[0], min(BATCH[1], max_tokens)))
    tokens = min(BATCH[1], max_tokens)

    def seconds_per_token(budget: int) -> float:
        rows = budget // tokens
        return _seconds(backend, _full(vocabulary, rows, tokens), BUDGET_S / 2) / (rows * tokens)

    return {
        "lone_s": lone,
        "row_s": batch / BATCH[0],
        "batch_tokens": least_budget(BATCH_TOKENS, seconds_per_token),
    }


def least_budget(budgets: Sequence[int], seconds_per_token: Callable[[int], float]) -> int:
    """Go up while the next budget is clearly faster per token."""
    best, fastest = budgets[0], seconds_per_token(budgets[0])
    for budget in budgets[1:]:
        seconds = seconds_per_token(budget)
        if seconds > fastest * WORTH:
            break
        best, fastest = budget, seconds
    return best


def _full(vocabulary: int, rows: int, tokens: int) -> Tensors:
    return sample_inputs(vocabulary, rows, tokens)


def _seconds(backend: Backend, inputs: Tensors, budget_s: float = BUDGET_S) -> float:
    """The median over runs: the machine may be shared."""
    began = time.perf_counter()
    for _ in range(2):
        backend.run(inputs)
    times: list[float] = []
    while len(times) < 3 or time.perf_counter() - began < budget_s:
        start = time.perf_counter()
        backend.run(inputs)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _main() -> None:
    order = json.load(sys.stdin)
    version = ModelVersion(
        name=order["name"],
        version=order["version"],
        folder=Path(order["folder"]),
        manifest=Manifest.model_validate(order["manifest"]),
        plain=order["plain"],
        cache_folder=Path(order["cache_folder"]) if order["cache_folder"] else None,
    )
    config = version.folder / "config.json"
    # Of two models that were joined, the encoder's.
    settings = encoder_config(read_json(config)) if config.is_file() else {}
    vocabulary = int(settings.get("vocab_size", 1000))
    results: dict[str, dict[str, float] | str] = {}
    for backend_name, precision, part in order["candidates"]:
        candidate = Candidate(backend_name, precision, part=part)
        try:
            if part:
                results[candidate.id] = measure_part(
                    version, candidate, order["threads"], vocabulary
                )
                continue
            backend = open_candidate(version, candidate, order["threads"])
            results[candidate.id] = measure(backend, vocabulary, version.manifest.max_tokens)
            backend.close()
        except CheckpointError as error:
            results[candidate.id] = str(error)
    print(json.dumps(results))


if __name__ == "__main__":
    _main()
