"""One server under one load, and what is told of several rounds of it."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.processes import used
from benchmarks.servers import Target
from benchmarks.wrk import drive


def loaded(target: Target, bodies: Path, clients: int, seconds: float) -> dict[str, Any]:
    """One server under one load: wrk's figures, and processor time per request by part.

    Returns once the server is idle: what it still works on for clients that are gone would cost
    whoever is measured next.
    """
    with target.family.awake():
        target.family.settle()
        before = target.family.cpu()
        load = drive(target.url, bodies, clients, seconds)
        spent = used(before, target.family.cpu())
        target.family.settle()
    answered = max(1, load.requests)
    return load.plain() | {"cpu_ms": {name: 1000 * s / answered for name, s in spent.items()}}


def medians(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians over rounds of every figure, by server, set and clients; failures are summed."""
    servers: dict[str, Any] = {}
    for name, sets in rounds[0]["servers"].items():
        for texts, loads in sets.items():
            for clients in loads:
                cells = [one["servers"][name][texts][clients] for one in rounds]
                servers.setdefault(name, {}).setdefault(texts, {})[clients] = middle(cells)
    found: dict[str, Any] = {}
    for name, measured in rounds[0]["engines"].items():
        each = {what: [one["engines"][name][what] for one in rounds] for what in measured}
        broken = [one["error"] for many in each.values() for one in many if "error" in one]
        if broken:
            found[name] = {"error": broken[0]}
            continue
        found[name] = {
            what: {key: statistics.median(one[key] for one in many) for key in many[0]}
            for what, many in each.items()
        }
    return {"servers": servers, "engines": found}


def middle(cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One cell of several rounds."""
    figures = {
        key: statistics.median(cell[key] for cell in cells)
        for key in ("per_second", "p50_ms", "p90_ms", "p99_ms", "max_ms")
    }
    names = dict.fromkeys(name for cell in cells for name in cell["cpu_ms"])
    cpu = {
        name: statistics.median(cell["cpu_ms"].get(name, 0.0) for cell in cells) for name in names
    }
    errors = {kind: sum(cell["errors"][kind] for cell in cells) for kind in cells[0]["errors"]}
    return {
        **figures,
        "cpu_ms": cpu,
        "requests": sum(cell["requests"] for cell in cells),
        "failed": sum(cell["failed"] for cell in cells),
        "errors": errors,
        "rounds": [round(cell["per_second"], 1) for cell in cells],
    }
