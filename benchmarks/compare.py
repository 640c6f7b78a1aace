"""Two commits side by side: ``make bench-compare BASE=COMMIT``.

``python -m benchmarks.compare BASE [OTHER]`` checks both out (without OTHER: the working tree as it
is), starts the server of each on the same model, and lets them take turns, now the one first and
now the other. Each pair of turns gives a ratio; told are their median and their spread, since a
single ratio on a shared machine means little. The servers are started anew a few times, because
some of what decides a server's speed is decided once, at its start.

Both run with the packages that are installed now. Where `auto` might choose differently for the
two, name the backend: ``--serve=--backend=openvino --serve=--precision=bf16``.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.bench import say
from benchmarks.checkpoint import published
from benchmarks.machine import commit, machine, sentence
from benchmarks.rounds import loaded
from benchmarks.servers import Target, ours
from benchmarks.tables import table
from benchmarks.texts import SETS, text_set, whole_words, write_bodies
from benchmarks.wrk import find_wrk

ROOT = Path(__file__).parent.parent
FIGURES = ("requests/s", "p50 ms", "p99 ms", "CPU ms per request")


def main() -> None:
    """Measure, print, write."""
    arguments = options().parse_args()
    result = measure(arguments)
    print(summary(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if result["failed"] else 0)


def options() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", help="a commit")
    parser.add_argument("other", nargs="?", help="a commit; default: the working tree")
    parser.add_argument("--home", default="build/bench", type=Path, help="keeps the model")
    parser.add_argument("--model-base", type=Path, help="a checkpoint folder instead of MiniLM")
    parser.add_argument("--out", type=Path, help="the result as JSON")
    parser.add_argument("--starts", default=2, type=int, help="of both servers")
    parser.add_argument("--pairs", default=4, type=int, help="of turns, per start")
    parser.add_argument("--seconds", default=3.0, type=float, help="of a turn, whole ones")
    parser.add_argument("--clients", default="1,64", help="commas")
    parser.add_argument("--sets", default=",".join(SETS), help="commas")
    parser.add_argument("--serve", action="append", default=[], help="an option of both servers")
    return parser


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All starts, and in each all pairs."""
    find_wrk()
    facts = machine()
    version = published(arguments.home / "store", base=arguments.model_base)
    words, most = whole_words(version.folder), version.manifest.max_tokens
    pairs: dict[str, list[list[dict[str, Any]]]] = {}
    served: list[str] = []
    with contextlib.ExitStack() as outer:
        folder = Path(outer.enter_context(tempfile.TemporaryDirectory()))
        bodies = {
            name: write_bodies(text_set(name, words, most=most), folder / name)
            for name in arguments.sets.split(",")
        }
        trees = [
            outer.enter_context(tree(one, folder / side))
            for one, side in ((arguments.base, "base"), (arguments.other, "other"))
        ]
        for start in range(arguments.starts):
            say(f"start {start + 1} of {arguments.starts}")
            with contextlib.ExitStack() as stack:
                targets = []
                for side, root in enumerate(trees):
                    home = folder / f"run-{start}-{side}"
                    home.mkdir()
                    server = ours(version, home / "log", arguments.serve, PYTHONPATH=str(root))
                    targets.append(stack.enter_context(server))
                served += [what_runs(target) for target in targets]
                for pair in range(arguments.pairs):
                    for name, path in bodies.items():
                        for clients in map(int, arguments.clients.split(",")):
                            cells = turns(targets, path, clients, arguments.seconds, pair + start)
                            pairs.setdefault(f"{name}, {clients}", []).append(cells)
    cells = [cell for many in pairs.values() for pair in many for cell in pair]
    return {
        "machine": facts,
        "base": arguments.base,
        "other": arguments.other or f"working tree at {commit()}",
        "served": served,
        "loads": {load: compared(many) for load, many in pairs.items()},
        "failed": sum(cell["failed"] for cell in cells),
    }


@contextlib.contextmanager
def tree(wanted: str | None, folder: Path) -> Iterator[Path]:
    """The files of a commit in a folder; those of the working tree where they are, for None.

    Raises:
        SystemExit: there is no such commit.
    """
    if wanted is None:
        yield ROOT
        return
    done = git("worktree", "add", "--detach", "--quiet", str(folder), wanted)
    if done.returncode:
        raise SystemExit(f"{wanted} cannot be checked out: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        git("worktree", "remove", "--force", str(folder))


def git(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run it in the repository."""
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)


def turns(
    targets: Sequence[Target], bodies: Path, clients: int, seconds: float, turn: int
) -> list[dict[str, Any]]:
    """One turn of each, in the order of ``targets``; every other time the second goes first."""
    order = [0, 1] if turn % 2 == 0 else [1, 0]
    found = {side: loaded(targets[side], bodies, clients, seconds) for side in order}
    return [found[0], found[1]]


def what_runs(target: Target) -> str:
    """The backend that a server chose."""
    return ", ".join(f"{one['backend']} {one['precision']}" for one in target.facts["models"])


def compared(pairs: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Of each figure: both medians, and the median and the ends of other over base by pair."""
    found: dict[str, Any] = {}
    for name in FIGURES:
        sides = [[figure(cell, name) for cell in pair] for pair in pairs]
        ratios = [other / base for base, other in sides if base]
        found[name] = {
            "base": statistics.median(base for base, _ in sides),
            "other": statistics.median(other for _, other in sides),
            "ratio": statistics.median(ratios) if ratios else None,
            "ratios": [round(one, 4) for one in sorted(ratios)],
        }
    return found


def figure(cell: Mapping[str, Any], name: str) -> float:
    """One of ``FIGURES`` of one turn."""
    if name == FIGURES[3]:
        return float(sum(cell["cpu_ms"].values()))
    keys = dict(zip(FIGURES, ("per_second", "p50_ms", "p99_ms"), strict=False))
    return float(cell[keys[name]])


def summary(result: Mapping[str, Any]) -> str:
    """A line per load and figure; a ratio whose spread holds 1 shows no difference."""
    rows = []
    for load, figures in result["loads"].items():
        for name, one in figures.items():
            ratios = one["ratios"]
            if not ratios:
                continue
            spread = f"{ratios[0]:.3f} to {ratios[-1]:.3f}"
            sure = "no difference seen" if ratios[0] <= 1 <= ratios[-1] else "differs in every pair"
            rows.append(
                [load, name, f"**{one['ratio']:.3f}**", spread, sure]
                + [f"{one[side]:,.2f}" for side in ("base", "other")]
            )
    head = ["texts, clients", "figure", "other / base", "over pairs", "", "base", "other"]
    lines = [
        f"{sentence(result['machine'])}",
        f"base {result['base']}, other {result['other']}; served by, base and other in turns: "
        + "; ".join(result["served"]),
        table(head, rows),
    ]
    if result["failed"]:
        lines.append(f"{result['failed']} requests failed")
    return "\n\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
