"""Far more clients than there is room for: 800 connections that wait out ``Retry-After``.

``python -m benchmarks.overload [--sets short,mixed] [--rounds 2] [--seconds 20]`` measures the peak
with 32 clients, then the overload, then the peak again, so that goodput is a share of what the same
machine gave in the same minute. Meanwhile somebody looks at /livez and at the memory. At last the
clients do not wait but insist: then nearly all are refused, and what a refusal costs can be read
off the HTTP process. The exit code is 1 where anything but 200 and 429 came back.
"""

import argparse
import json
import resource
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.checkpoint import published
from benchmarks.machine import machine, sentence
from benchmarks.processes import used
from benchmarks.rounds import loaded
from benchmarks.servers import Target, ours
from benchmarks.tables import table, verdict_table
from benchmarks.texts import SETS, text_set, whole_words, write_bodies
from benchmarks.verdicts import Verdict, at_least, at_most
from benchmarks.watch import Watch
from benchmarks.wrk import TIMEOUT_S, find_wrk, result_line, run

SCRIPT = Path(__file__).with_name("overload.lua")
PEAK_CLIENTS, CLIENTS = 32, 800
GOODPUT_BAR, GOODPUT_AIM = 0.85, 0.90
REFUSAL_MS_BAR = 0.15
MEMORY_BAR = 1.05
"""Proportional set size after the last round in multiples of that after the first one."""
GOOD = {"200", "429"}


def main() -> None:
    """Measure, print, write."""
    arguments = options().parse_args()
    result = measure(arguments)
    print(summary(result))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sys.exit(0 if all(one["other"] == 0 for one in result["sets"].values()) else 1)


def options() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", default="build/bench", type=Path, help="keeps the model")
    parser.add_argument("--base", type=Path, help="a checkpoint folder instead of MiniLM")
    parser.add_argument("--out", type=Path, help="the result as JSON")
    parser.add_argument("--sets", default=",".join(SETS), help="commas")
    parser.add_argument("--clients", default=CLIENTS, type=int)
    parser.add_argument("--rounds", default=2, type=int)
    parser.add_argument("--seconds", default=20.0, type=float, help="of one overload")
    parser.add_argument("--serve", action="append", default=[], help="an option of the server")
    return parser


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Peak, overload, peak, and at last the insistent; for each set of texts."""
    find_wrk()
    allow_connections(2 * arguments.clients)
    version = published(arguments.home / "store", base=arguments.base)
    words, most = whole_words(version.folder), version.manifest.max_tokens
    facts = machine()
    found = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        ours(version, Path(folder, "log"), arguments.serve) as target,
    ):
        served = target.facts["models"][0]
        for name in arguments.sets.split(","):
            bodies = write_bodies(text_set(name, words, most=most), Path(folder, name))
            rounds = [one_round(target, bodies, arguments) for _ in range(arguments.rounds)]
            found[name] = joined(rounds) | {"refusal_ms": refusal_ms(target, bodies, arguments)}
    result = {
        "kind": "overload",
        "machine": facts,
        "served": {key: served[key] for key in ("name", "backend", "precision")},
        "clients": arguments.clients,
        "sets": found,
    }
    return result | {"verdicts": verdicts(found)}


def one_round(target: Target, bodies: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """A peak before and after, and the overload between them."""
    short = max(2.0, arguments.seconds / 4)
    peaks = [loaded(target, bodies, PEAK_CLIENTS, short)["per_second"]]
    with Watch(target) as watch:
        load = overloaded(target, bodies, arguments.clients, arguments.seconds, wait=True)
    peaks.append(loaded(target, bodies, PEAK_CLIENTS, short)["per_second"])
    return {"load": load, "peak": statistics.mean(peaks), "watch": watch.seen()}


def overloaded(
    target: Target, bodies: Path, clients: int, seconds: float, *, wait: bool
) -> dict[str, Any]:
    """One run of ``overload.lua``; its first fifth is not counted, while the queue fills."""
    command = [find_wrk(), "-t1", f"-c{clients}", f"-d{round(seconds)}s", f"--timeout={TIMEOUT_S}s"]
    command += [f"--script={SCRIPT}", target.url, "--"]
    return result_line(
        run([*command, str(bodies), f"{seconds / 5:g}", "wait" if wait else "insist"])
    )


def refusal_ms(target: Target, bodies: Path, arguments: argparse.Namespace) -> float | None:
    """Processor time of the HTTP process per refusal, from a run in which nearly all are refused.

    What the accepted cost is taken off, at the price that they have at the peak. None where
    nothing was refused.
    """
    peak = loaded(target, bodies, PEAK_CLIENTS, 2)
    before = target.family.cpu()
    seconds = max(2.0, arguments.seconds / 4)
    load = overloaded(target, bodies, arguments.clients, seconds, wait=False)
    spent = used(before, target.family.cpu())["http"] * 1000
    # The script leaves its first fifth out of its counts, and the processor does not.
    accepted, refused = (load["statuses"].get(one, 0) * 1.25 for one in ("200", "429"))
    return (spent - accepted * peak["cpu_ms"]["http"]) / refused if refused else None


def joined(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of several rounds: medians, the worst of what must never happen, and sums of failures."""
    loads = [one["load"] for one in rounds]
    shares = [
        one["load"]["statuses"].get("200", 0) / one["load"]["seconds"] / one["peak"]
        for one in rounds
    ]
    other = sum(
        count for load in loads for status, count in load["statuses"].items() if status not in GOOD
    )
    last = rounds[-1]["watch"]["pss_last"]
    return {
        "peak": statistics.median(one["peak"] for one in rounds),
        "goodput_share": statistics.median(shares),
        "shares": [round(one, 3) for one in shares],
        "p50_ms": statistics.median(load["p50_ms"] for load in loads),
        "p99_ms": max(load["p99_ms"] for load in loads),
        "retry_after_s": max(load["retry_after_s"] for load in loads),
        "accepted": sum(load["statuses"].get("200", 0) for load in loads),
        "refused": sum(load["statuses"].get("429", 0) for load in loads),
        "other": other + sum(sum(load["lost"].values()) for load in loads),
        "statuses": [load["statuses"] | load["lost"] for load in loads],
        "livez_failed": sum(one["watch"]["livez_failed"] for one in rounds),
        "livez_slowest_ms": max(one["watch"]["livez_slowest_ms"] for one in rounds),
        "memory_growth": last / rounds[0]["watch"]["pss_last"] if len(rounds) > 1 else None,
        "pss_mib": round(last / 2**20),
    }


def verdicts(sets: dict[str, Any]) -> list[Verdict]:
    """The bars of each set of texts."""
    lines: list[Verdict] = []
    for name, one in sets.items():
        share = one["goodput_share"]
        lines += [
            at_least(f"overload, {name}: share of the peak", share, GOODPUT_BAR, GOODPUT_AIM),
            at_most(f"overload, {name}: neither 200 nor 429", one["other"], 0),
            at_most(f"overload, {name}: p99 of the accepted, s", one["p99_ms"] / 1000, TIMEOUT_S),
            at_most(
                f"overload, {name}: memory after the last round over the first",
                one["memory_growth"],
                MEMORY_BAR,
            ),
            at_most(f"overload, {name}: /livez failed", one["livez_failed"], 0),
            at_most(f"overload, {name}: CPU ms per refusal", one["refusal_ms"], REFUSAL_MS_BAR),
        ]
    return lines


def summary(result: dict[str, Any]) -> str:
    """Bars, then a line per set of texts."""
    rows = [
        [
            *(name, f"{one['peak']:,.0f}", f"{one['goodput_share']:.2f}", str(one["shares"])),
            *(f"{one['p50_ms']:,.0f}", f"{one['p99_ms']:,.0f}", f"{one['retry_after_s']:g}"),
            *(str(one["accepted"]), str(one["refused"]), str(one["other"])),
            *(f"{one['livez_slowest_ms']:.0f}", str(one["pss_mib"])),
        ]
        for name, one in result["sets"].items()
    ]
    head = ["texts", "peak/s", "share", "by round", "p50 ms", "p99 ms", "longest Retry-After s"]
    head += ["accepted", "refused", "other", "slowest /livez ms", "PSS MiB"]
    served = f"served by {result['served']['backend']} {result['served']['precision']}"
    first = f"{sentence(result['machine'])}; {served}; {result['clients']} connections."
    return "\n\n".join([first, verdict_table(result["verdicts"]), table(head, rows)])


def allow_connections(count: int) -> None:
    """Raise the limit of open files, which the server and wrk inherit, as far as it is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, count + 256)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    main()
