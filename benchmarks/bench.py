"""``make bench``: our server, its peers and the bare engines, in turns, on the same texts.

``python -m benchmarks.bench [--quick] [--out RESULT.json]`` makes the model if ``--home`` does not
hold it yet, starts every server and every engine once, and then goes around: each server with each
number of clients on each set of texts, each engine alone. What is told is the median over the
rounds, so a machine that drifts hits all alike. Ratios come first; the exit code is 1 where a
request to our server failed, whatever the ratios are.
"""

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import http_alone
from benchmarks.bare import engines
from benchmarks.ceilings import LONE, BareEngine
from benchmarks.checkpoint import published
from benchmarks.machine import compute_threads, machine
from benchmarks.rounds import loaded, medians
from benchmarks.servers import OURS, PEERS, Target, ours, peer
from benchmarks.tables import summary
from benchmarks.texts import SETS, text_set, whole_words, write_bodies
from benchmarks.verdicts import verdicts
from benchmarks.wrk import find_wrk
from model_store.version import ModelVersion

CLIENTS = (1, 16, 64, 256)
QUICK = {"clients": "1,64", "rounds": 1, "seconds": 1.0, "engines": "onnxruntime-int8"}
MANY = 256
"""From so many clients on a round takes twice the time: a slow peer has to answer each once."""


def main() -> None:
    """Measure, print, write."""
    arguments = options().parse_args()
    result = measure(arguments)
    print(summary(result))
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    failed = sum(cell["failed"] for cell in cells_of(result))
    if failed:
        print(f"{failed} requests to our server failed")
    sys.exit(1 if failed else 0)


def options() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute: one short round of less")
    parser.add_argument("--home", default="build/bench", type=Path, help="keeps the model")
    parser.add_argument("--base", type=Path, help="a checkpoint folder instead of MiniLM")
    parser.add_argument("--out", type=Path, help="the result as JSON")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of each server on each load, whole ones")
    parser.add_argument("--clients", help="commas")
    parser.add_argument("--sets", default=",".join(SETS), help="commas")
    parser.add_argument("--servers", default=",".join([OURS, *PEERS]), help="commas")
    parser.add_argument("--engines", help="commas; default: all")
    parser.add_argument("--threads", default=compute_threads(), type=int, help="of the engines")
    parser.add_argument(
        "--serve",
        action="append",
        default=[],
        metavar="OPTION",
        help="of `tuneserve serve`, e.g. --serve=--batch-tokens=4096 (repeat)",
    )
    return parser


def settled(arguments: argparse.Namespace) -> argparse.Namespace:
    """Defaults filled in: those of ``--quick`` or of a whole run."""
    whole = {"clients": ",".join(map(str, CLIENTS)), "rounds": 3, "seconds": 3.0}
    defaults = {**whole, "engines": ",".join(engines())} | (QUICK if arguments.quick else {})
    for name, value in defaults.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    return arguments


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole run; see ``summary`` for what the result holds."""
    arguments = settled(arguments)
    find_wrk()  # fails before anything is made
    facts = machine()
    say("the model")
    version = published(arguments.home / "store", base=arguments.base)
    words = whole_words(version.folder)
    most = version.manifest.max_tokens
    sets = [name for name in arguments.sets.split(",") if name]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bodies = {
            name: write_bodies(text_set(name, words, most=most), folder / f"{name}.jsonl")
            for name in sets
        }
        say("the servers")
        targets = [
            stack.enter_context(server(name, arguments, version, folder))
            for name in arguments.servers.split(",")
            if name
        ]
        say("the engines")
        bare = [
            stack.enter_context(BareEngine(version.folder, name, arguments.threads))
            for name in arguments.engines.split(",")
            if name
        ]
        for engine in bare:
            engine.measure(LONE, 0)  # so that none still loads while a server is measured
        rounds = []
        for number in range(arguments.rounds):
            say(f"round {number + 1} of {arguments.rounds}")
            rounds.append(one_round(targets, bare, bodies, arguments))
        served = [target.facts.get("models") for target in targets if target.name == OURS]
    say("HTTP alone")
    http = http_alone.measured(version, arguments.clients, arguments.rounds, arguments.seconds)
    result = {
        "kind": "bench",
        "machine": facts,
        "settings": {
            "rounds": arguments.rounds,
            "seconds": arguments.seconds,
            "threads": arguments.threads,
            "serve": arguments.serve,
            "quick": arguments.quick,
        },
        "served": [
            {key: one[key] for key in ("name", "backend", "precision")}
            for one in (served[0] if served else [])
        ],
        **medians(rounds),
        "http_alone": http,
    }
    return {**result, "verdicts": [*verdicts(result), *http_alone.verdicts(http)]}


def server(
    name: str, arguments: argparse.Namespace, version: ModelVersion, folder: Path
) -> contextlib.AbstractContextManager[Target]:
    """Ours or a peer, on the model."""
    log = folder / f"{name}.log"
    if name == OURS:
        return ours(version, log, arguments.serve)
    return peer(name, version.folder, log)


def one_round(
    targets: Sequence[Target],
    bare: Sequence[BareEngine],
    bodies: dict[str, Path],
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """Every server on every load, then every engine."""
    servers: dict[str, Any] = {target.name: {} for target in targets}
    for name, path in bodies.items():
        for clients in map(int, arguments.clients.split(",")):
            seconds = arguments.seconds * (2 if clients >= MANY else 1)
            for target in targets:
                cell = loaded(target, path, clients, seconds)
                servers[target.name].setdefault(name, {})[str(clients)] = cell
    found: dict[str, Any] = {}
    for engine in bare:
        found[engine.name] = {name: engine.measure(name, arguments.seconds / 2) for name in bodies}
        found[engine.name][LONE] = engine.measure(LONE, arguments.seconds / 4)
    return {"servers": servers, "engines": found}


def cells_of(result: dict[str, Any]) -> list[dict[str, Any]]:
    """All loads of our server, with a model and without."""
    sets = [*result["servers"].get(OURS, {}).values(), result["http_alone"]]
    return [cell for loads in sets for cell in loads.values()]


def say(what: str) -> None:
    """Progress, beside the result."""
    print(f"bench: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
