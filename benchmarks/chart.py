"""The chart of the README: throughput and p99 against clients, as SVG text.

It needs no colour (each server has its own mark and its own dashes, and ours the thick line), and
brings its own paper, so that it can be read on a light page and on a dark one.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Any

from benchmarks.servers import OURS, TITLES
from benchmarks.verdicts import ceiling

WIDTH, HEIGHT = 920, 660
PANEL_WIDTH, PANEL_HEIGHT = 360, 210
LEFTS, TOPS = (78, 524), (112, 404)
INSET = 26
"""Between an axis and the first point."""
TICKS = 4
ENGINE = "best engine in process"

STYLE = """
  :root { --ink: #1c2128; --soft: #626c78; --grid: #d9dee4; --paper: #ffffff; --ours: #1f5fbf; }
  @media (prefers-color-scheme: dark) {
    :root { --ink: #e6e8ec; --soft: #a0a8b5; --grid: #383f4b; --paper: #15181d; --ours: #86b3f5; }
  }
  text { font: 13px Helvetica, Arial, sans-serif; fill: var(--ink); }
  .soft { fill: var(--soft); font-size: 12px; }
  .head { font-weight: bold; font-size: 14px; }
  .value { font-size: 11px; paint-order: stroke; stroke: var(--paper); stroke-width: 7px; }
  .paper { fill: var(--paper); }
  .grid { stroke: var(--grid); }
  .axis { stroke: var(--soft); }
  .line { fill: none; stroke: var(--soft); stroke-width: 1.5; }
  .mark { fill: var(--paper); stroke: var(--soft); stroke-width: 1.5; }
  .ours.line { stroke: var(--ours); stroke-width: 3; }
  .ours.mark { fill: var(--ours); stroke: var(--ours); }
  .ceiling { stroke: var(--ink); stroke-width: 1.5; stroke-dasharray: 9 5; }
"""

DASHES = {OURS: "", "fastapi": "2 4", "litserve": "7 3 2 3"}
Scale = Callable[[float], float]


def chart(result: dict[str, Any]) -> str:
    """Draw a result of ``benchmarks.bench``.

    Args:
        result: as it is written; sets of texts become columns.
    """
    sets = list(result["servers"][OURS])
    parts = list(legend(result))
    for left, texts in zip(LEFTS, sets, strict=False):
        best = ceiling(result, texts)
        rates = series(result, texts, "per_second")
        tails = series(result, texts, "p99_ms")
        top = max([best[1] if best else 0.0, *(y for line in rates.values() for _, y in line)])
        linear = linear_ticks(top)
        name = f"{texts} texts: requests per second"
        scale = share_of(linear)
        parts += panel(left, TOPS[0], name, linear, scale, rates, best, higher_is_better=True)
        every = [y for line in tails.values() for _, y in line]
        decades = log_ticks(min(every), max(every))
        name = f"{texts} texts: p99, ms (log)"
        parts += panel(left, TOPS[1], name, decades, log_share_of(decades), tails)
    title = "Throughput and p99 latency against clients: tuneserve, its peers, the bare engine"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">\n<title>{escape(title)}</title>\n<style>{STYLE}</style>\n'
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def series(result: dict[str, Any], texts: str, key: str) -> dict[str, list[tuple[str, float]]]:
    """One figure of every server against its clients; nobody has a p99 who answered nobody."""
    return {
        name: [
            (clients, cell[key])
            for clients, cell in sets[texts].items()
            if key == "per_second" or cell[key] > 0
        ]
        for name, sets in result["servers"].items()
        if texts in sets
    }


def panel(
    left: float,
    top: float,
    title: str,
    ticks: Sequence[float],
    share: Scale,
    lines: dict[str, list[tuple[str, float]]],
    best: tuple[str, float] | None = None,
    *,
    higher_is_better: bool = False,
) -> Iterator[str]:
    """Axes, the ceiling, and a line per server; ours last, over the others, with its numbers."""
    base, right = top + PANEL_HEIGHT, left + PANEL_WIDTH
    yield text(left, top - 14, title, css="head")
    for tick in ticks:
        y = base - share(tick) * PANEL_HEIGHT
        style = "axis" if tick == ticks[0] else "grid"
        yield f'<line class="{style}" x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>'
        yield text(left - 8, y + 4, f"{tick:,g}", "end", "soft")
    clients = [one for one, _ in max(lines.values(), key=len)]
    step = (PANEL_WIDTH - 2 * INSET) / max(1, len(clients) - 1)
    xs = {one: left + INSET + index * step for index, one in enumerate(clients)}
    for one, x in xs.items():
        yield text(x, base + 18, one, "middle", "soft")
    yield text((left + right) / 2, base + 36, "clients", "middle", "soft")
    if best is not None:
        y = base - share(best[1]) * PANEL_HEIGHT
        yield f'<line class="ceiling" x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>'
        # At the left, where one client leaves room.
        yield text(left + 4, y - 5, f"{best[0]}: {best[1]:,.0f}", "start", "value")
    for name in sorted(lines, key=lambda each: each == OURS):
        places = [(xs[one], base - share(value) * PANEL_HEIGHT) for one, value in lines[name]]
        yield path(name, places)
        for (_, value), (x, y) in zip(lines[name], places, strict=True):
            yield mark(name, x, y)
            if name == OURS:
                above = higher_is_better or y > base - 24  # else it would meet the axis
                yield text(x, y - 11 if above else y + 20, short_number(value), "middle", "value")


def legend(result: dict[str, Any]) -> Iterator[str]:
    """Names, and the machine."""
    yield text(LEFTS[0] - 40, 26, "One text per request, closed loop; medians", css="head")
    yield text(LEFTS[0] - 40, 46, machine_name(result["machine"]), css="soft")
    x = LEFTS[0] - 40.0
    for name in result["servers"]:
        yield path(name, [(x, 66), (x + 44, 66)])
        yield mark(name, x + 22, 66)
        yield text(x + 52, 70, TITLES[name])
        x += 68 + 7.2 * len(TITLES[name])
    yield f'<line class="ceiling" x1="{x:.0f}" y1="66" x2="{x + 44:.0f}" y2="66"/>'
    yield text(x + 52, 70, ENGINE)


def machine_name(facts: dict[str, Any]) -> str:
    """What decides speed, in few words."""
    amx = "AMX" if facts["amx"] else "no AMX"
    return f"{facts['cpu']}, {facts['cores']:g} cores, {amx}"


def path(name: str, places: Sequence[tuple[float, float]]) -> str:
    """The line of a server."""
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dashes = f' stroke-dasharray="{DASHES[name]}"' if DASHES[name] else ""
    return f'<polyline class="{style_of(name)}line"{dashes} points="{points}"/>'


def mark(name: str, x: float, y: float) -> str:
    """The point of a server: a dot, a square, a triangle."""
    css = f'class="{style_of(name)}mark"'
    if name == OURS:
        return f'<circle {css} cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
    if name == "fastapi":
        return f'<rect {css} x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9"/>'
    return f'<path {css} d="M{x:.1f} {y - 6:.1f}l6 10.5h-12z"/>'


def style_of(name: str) -> str:
    """The class that ours has beside its kind's."""
    return "ours " if name == OURS else ""


def text(x: float, y: float, content: str, anchor: str = "start", css: str = "") -> str:
    """Words at a place."""
    style = f' class="{css}"' if css else ""
    return f'<text{style} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(content)}</text>'


def short_number(value: float) -> str:
    """Three digits, more or less."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def linear_ticks(top: float) -> list[float]:
    """Round numbers from 0 to above the highest value, with room for its name."""
    wanted = max(top, 1e-9) * 1.08 / TICKS
    size = 10.0 ** math.floor(math.log10(wanted))
    step = next(size * one for one in (1, 2, 2.5, 5, 10) if size * one >= wanted)
    return [step * number for number in range(math.ceil(top * 1.08 / step) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten around all values."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high * 1.2))
    return [10.0**power for power in range(first, max(last, first + 1) + 1)]


def share_of(ticks: Sequence[float]) -> Scale:
    """From a value to its height, 0 to 1."""
    return lambda value: (value - ticks[0]) / (ticks[-1] - ticks[0])


def log_share_of(ticks: Sequence[float]) -> Scale:
    """The same on a logarithmic axis."""
    low, high = math.log10(ticks[0]), math.log10(ticks[-1])
    return lambda value: (math.log10(max(value, ticks[0])) - low) / (high - low)
