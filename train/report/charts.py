"""Drawings as SVG text: they need no script and no colour, and print as they are shown.

Everything is drawn in ``currentColor`` or a class of the page's style sheet, so that a drawing
follows the page from light to dark. Labels are escaped.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT = 420, 230
LEFT, RIGHT, TOP, BOTTOM = 52, 40, 22, 34
INSET = 20
"""Between the axis and the first point, so that its number does not meet the axis' numbers."""
TICKS = 4
"""Intervals of an axis, about."""
NAMED_POINTS = 12
"""With more, only the best and the last point carry their number."""


def line_chart(
    title: str, points: Sequence[tuple[float, float]], *, mark: float | None = None
) -> str:
    """One line over the epochs.

    Args:
        title: what the numbers are; said aloud by screen readers.
        points: epoch and value, at least one.
        mark: the epoch that was kept; it gets a ring.
    """
    xs, ys = [x for x, _ in points], [y for _, y in points]
    ticks = _ticks(min(ys), max(ys))
    low, high = ticks[0], ticks[-1]
    first, last = min(xs), max(xs)

    def place(x: float, y: float) -> tuple[float, float]:
        share = (x - first) / (last - first) if last > first else 0.5
        return (
            LEFT + INSET + share * (WIDTH - LEFT - RIGHT - INSET),
            HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM),
        )

    parts = _axes(ticks, "epoch")
    places = [place(x, y) for x, y in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts.append(f'<polyline class="line" points="{path}"/>')
    step = -(-len(points) // 10)
    for index, ((epoch, value), (x, y)) in enumerate(zip(points, places, strict=True)):
        parts.append(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
        kept = mark is not None and epoch == mark
        if kept:
            parts.append(f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="7"/>')
        if len(points) <= NAMED_POINTS or kept or index == len(points) - 1:
            parts.append(_text(x, y - 10, f"{value:.3g}", "middle"))
        if index % step == 0:
            parts.append(_text(x, HEIGHT - BOTTOM + 14, f"{epoch:g}", "middle"))
    return _svg(title, parts)


def calibration_chart(bins: Sequence[dict[str, Any]]) -> str:
    """Bars of the share that was right, by confidence; on the dashed line the two are equal."""
    parts = [
        '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><line class="hatch" x1="0" y1="0" x2="0" y2="6"/>'
        "</pattern></defs>",
        *_axes([0.0, 0.25, 0.5, 0.75, 1.0], "confidence"),
    ]
    wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    base = HEIGHT - BOTTOM
    for one in bins:
        x, w = LEFT + one["from"] * wide, (one["to"] - one["from"]) * wide
        h = one["right"] * tall
        parts.append(
            f'<rect class="bar" fill="url(#hatch)" x="{x + 1:.1f}" y="{base - h:.1f}" '
            f'width="{w - 2:.1f}" height="{h:.1f}"/>'
        )
        parts.append(_text(x + w / 2, base - h - 4, str(one["count"]), "middle"))
    parts.append(f'<line class="ideal" x1="{LEFT}" y1="{base}" x2="{WIDTH - RIGHT}" y2="{TOP}"/>')
    for tick in range(0, 11, 2):
        parts.append(_text(LEFT + tick / 10 * wide, base + 14, f"{tick / 10:g}", "middle"))
    return _svg("Share of right answers by confidence; numbers are counts", parts)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers below, between and above; with room over the highest point for its number."""
    span = (high - low) or abs(high) or 1.0
    size = 10.0 ** math.floor(math.log10(span / TICKS))
    step = next(size * one for one in (1, 2, 2.5, 5, 10) if size * one * TICKS >= span)
    first, last = math.floor(low / step), math.ceil((high + span / 12) / step)
    return [number * step for number in range(first, last + 1)]


def _axes(ticks: Sequence[float], name: str) -> list[str]:
    base = HEIGHT - BOTTOM
    parts = []
    for tick in ticks:
        y = base - (base - TOP) * (tick - ticks[0]) / (ticks[-1] - ticks[0])
        style = "axis" if tick == ticks[0] else "grid"
        parts.append(
            f'<line class="{style}" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>'
        )
        parts.append(_text(LEFT - 6, y + 4, f"{tick:.4g}", "end"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, name, "middle"))
    return parts


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )
