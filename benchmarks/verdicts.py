"""The bars that a result is held against: what was found, what is asked, and whether it is reached.

Every bar is a ratio or a difference of figures from one run, so that it means the same on another
machine.
"""

from typing import Any, TypedDict

from benchmarks.ceilings import LONE
from benchmarks.servers import OURS
from benchmarks.texts import MIXED, SHORT

CEILING_BARS = {SHORT: (0.50, 0.60), MIXED: (0.70, 0.80)}
"""Throughput of 64 clients as a share of the best engine's: what is asked, and what is aimed at."""
PEER_BARS = {SHORT: 3.5, MIXED: 6.0}
"""Throughput of 64 clients in multiples of LitServe's."""
TAIL_BAR = 2.5
"""p99 in multiples of p50, short texts, 64 clients."""
ADDED_MS_BAR = 1.0
"""What one client waits longer than for the bare call of the best engine."""


class Verdict(TypedDict):
    """One line; ``found`` is None where the run did not measure it."""

    what: str
    found: float | None
    bar: str
    reached: bool | None


def verdicts(result: dict[str, Any]) -> list[Verdict]:
    """All bars, in the order in which they are asked for."""
    lines: list[Verdict] = []
    for texts, (bar, aim) in CEILING_BARS.items():
        mine, top = figure(result, OURS, texts, 64, "per_second"), ceiling(result, texts)
        share = divided(mine, top[1] if top else None)
        lines.append(at_least(f"64 clients, {texts}: share of the best engine", share, bar, aim))
        theirs = figure(result, "litserve", texts, 64, "per_second")
        times = divided(mine, theirs)
        lines.append(at_least(f"64 clients, {texts}: times LitServe", times, PEER_BARS[texts]))
    middle = figure(result, OURS, SHORT, 64, "p50_ms")
    tail = divided(figure(result, OURS, SHORT, 64, "p99_ms"), middle)
    lines.append(at_most("64 clients, short: p99 over p50", tail, TAIL_BAR))
    failed = [figure(result, OURS, texts, 256, "failed") for texts in (SHORT, MIXED)]
    known = [one for one in failed if one is not None]
    lines.append(at_most("256 clients: failed requests", sum(known) if known else None, 0))
    alone, bare = figure(result, OURS, SHORT, 1, "p50_ms"), lone_ms(result)
    added = alone - bare if alone is not None and bare is not None else None
    lines.append(at_most("1 client, short: ms over the bare call, p50", added, ADDED_MS_BAR))
    return lines


def figure(result: dict[str, Any], server: str, texts: str, clients: int, key: str) -> float | None:
    """One figure, or None where it was not measured."""
    cell = result["servers"].get(server, {}).get(texts, {}).get(str(clients))
    return None if cell is None else float(cell[key])


def ceiling(result: dict[str, Any], texts: str) -> tuple[str, float] | None:
    """The best engine on a set, and its texts per second."""
    rates = {
        name: float(found[texts]["per_second"])
        for name, found in result["engines"].items()
        if texts in found
    }
    best = max(rates, key=lambda name: rates[name], default=None)
    return None if best is None else (best, rates[best])


def lone_ms(result: dict[str, Any]) -> float | None:
    """The bare call of the engine that is fastest for one text."""
    times = [found[LONE]["p50_ms"] for found in result["engines"].values() if LONE in found]
    return min(times, default=None)


def divided(one: float | None, other: float | None) -> float | None:
    """None where either is not known."""
    return None if one is None or not other else one / other


def at_least(what: str, found: float | None, bar: float, aim: float | None = None) -> Verdict:
    """A figure that should be high."""
    told = f">= {bar:.2f}" + (f" (aim {aim:.2f})" if aim else "")
    return Verdict(
        what=what, found=found, bar=told, reached=None if found is None else found >= bar
    )


def at_most(what: str, found: float | None, bar: float) -> Verdict:
    """A figure that should be low."""
    reached = None if found is None else found <= bar
    return Verdict(what=what, found=found, bar=f"<= {bar:g}", reached=reached)
