"""The report as one HTML page: no script, nothing loaded from elsewhere, every text escaped."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from train.report.charts import calibration_chart, line_chart

WIDEST_MATRIX = 15
"""Labels of a confusion matrix that is still read at a glance; more are told as pairs."""
PAIRS = 20
"""Confused pairs that are listed."""


def page(content: dict[str, Any]) -> str:
    """The page; see ``Report.as_dict`` for its contents."""
    environment = Environment(
        loader=PackageLoader("train.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    findings = content["findings"]
    matrix = findings["confusion"]
    bins = findings["calibration"].get("bins", [])
    return environment.get_template("page.html").render(
        **content,
        held_out="test" if content["data"]["test"] else "dev",
        charts=[Markup(chart) for chart in _curves(content)],
        calibration_chart=Markup(calibration_chart(bins)) if bins else "",
        matrix=_shares(matrix) if matrix and len(matrix["labels"]) <= WIDEST_MATRIX else None,
        pairs=confused_pairs(matrix)[:PAIRS] if matrix else [],
    )


def number(value: Any) -> str:
    """A score with three places, a count as it is."""
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def confused_pairs(matrix: dict[str, Any]) -> list[tuple[str, str, int, int]]:
    """True label, answer, how often, and how many have that true label; most frequent first."""
    labels, counts = matrix["labels"], matrix["counts"]
    pairs = [
        (labels[true], labels[found], count, sum(row))
        for true, row in enumerate(counts)
        for found, count in enumerate(row)
        if count and true != found
    ]
    return sorted(pairs, key=lambda pair: -pair[2])


def _shares(matrix: dict[str, Any]) -> list[tuple[str, list[tuple[int, int, bool]]]]:
    """Each row with its counts, the per cent of the row, and whether it is the diagonal."""
    rows = []
    for true, (label, counts) in enumerate(zip(matrix["labels"], matrix["counts"], strict=True)):
        total = max(1, sum(counts))
        cells = [
            (count, round(100 * count / total), found == true) for found, count in enumerate(counts)
        ]
        rows.append((label, cells))
    return rows


def _curves(content: dict[str, Any]) -> list[str]:
    """The loss, and the dev score with a ring around the epoch that was kept."""
    metric, curves = content["metric"], content["training"]["curves"]
    charts = []
    losses = [(one["epoch"], one["loss"]) for one in curves if "loss" in one]
    if losses:
        charts.append(line_chart("training loss", losses))
    scores = [(one["epoch"], one[metric]) for one in curves if metric in one]
    if scores:
        best = max(scores, key=lambda point: (point[1], -point[0]))[0]
        charts.append(line_chart(f"{metric} on the dev set", scores, mark=best))
    return charts
