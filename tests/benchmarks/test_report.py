"""Figures go from a result to the pages by program, and only there where they belong."""

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.chart import chart, linear_ticks, log_ticks
from benchmarks.report import CHART, PAGES, ROOT, fill, filled

PAGE = """# Speed

<!-- measured: bench -->
old
<!-- end -->

and

<!-- measured: chart -->
<!-- end -->
"""
SVG = "{http://www.w3.org/2000/svg}"


def cell(per_second: float) -> dict[str, Any]:
    return {
        **{"per_second": per_second, "p50_ms": 5.0, "p99_ms": 9.0, "failed": 0},
        **{"requests": 10, "cpu_ms": {"http": 0.5}, "rounds": [per_second]},
    }


@pytest.fixture
def result() -> dict[str, Any]:
    servers = {
        name: {texts: {"1": cell(rate), "64": cell(rate * 3)} for texts in ("short", "mixed")}
        for name, rate in (("tuneserve", 300.0), ("fastapi", 90.0), ("litserve", 70.0))
    }
    rates = {texts: {"per_second": 2000.0} for texts in ("short", "mixed")}
    return {
        "kind": "bench",
        "machine": {
            **{"cpu": "Example <1>", "cores": 2.0, "amx": False, "flags": []},
            **{"memory_gib": 24.0, "load_average": [0.1, 0.2, 0.3]},
        },
        "settings": {"rounds": 3, "seconds": 4.0, "quick": False},
        "served": [],
        "servers": servers,
        "engines": {"openvino-bf16": {**rates, "lone": {"p50_ms": 1.5}}},
        "http_alone": {"64": cell(2200.0)},
        "verdicts": [],
    }


def test_the_chart_is_an_image_that_needs_no_colour(result: dict[str, Any]) -> None:
    root = ElementTree.fromstring(chart(result))
    lines = root.findall(f"{SVG}polyline")
    dashes = {line.get("stroke-dasharray") for line in lines}
    assert len(dashes) == 3  # a whole line, and two kinds of broken ones
    texts = [one.text for one in root.iter(f"{SVG}text")]
    assert "LitServe, as documented" in texts
    assert "openvino-bf16: 2,000" in texts
    assert any("Example <1>" in str(text) for text in texts)
    assert "prefers-color-scheme: dark" in chart(result)


def test_the_chart_stays_inside_its_frame(result: dict[str, Any]) -> None:
    root = ElementTree.fromstring(chart(result))
    _, _, width, height = map(float, str(root.get("viewBox")).split())
    for line in root.findall(f"{SVG}polyline"):
        for point in str(line.get("points")).split():
            x, y = map(float, point.split(","))
            assert 0 < x < width
            assert 0 < y < height


def test_a_peer_that_answered_nobody_has_no_point_for_its_p99(result: dict[str, Any]) -> None:
    result["servers"]["fastapi"]["short"]["64"] |= {"per_second": 0.0, "p99_ms": 0.0}
    squares = ElementTree.fromstring(chart(result)).findall(f"{SVG}rect")
    paper, legend = 1, 1
    assert len(squares) == paper + legend + 2 * 4 - 1


@pytest.mark.parametrize("top", [0.3, 7, 99, 1000, 2319, 12345])
def test_axes_end_above_the_highest_value(top: float) -> None:
    assert linear_ticks(top)[0] == 0
    assert top < linear_ticks(top)[-1] < 2.2 * top
    low, *_, high = log_ticks(top, top)
    assert low <= top < high


def test_only_the_places_of_a_page_change() -> None:
    after = filled(PAGE, {"bench": "| new |", "chart": "![c](c.svg)"})
    assert after == PAGE.replace("old", "| new |").replace(
        "chart -->\n", "chart -->\n![c](c.svg)\n"
    )
    assert filled(after, {"bench": "old", "chart": ""}).count("<!-- end -->") == 2


def test_a_result_fills_every_page_and_draws_the_chart(
    result: dict[str, Any], tmp_path: Path
) -> None:
    for name in (*PAGES, CHART):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(PAGE)
    assert set(fill(tmp_path, result)) == {*PAGES, CHART}
    page = (tmp_path / "docs/performance.md").read_text()
    assert "![Throughput and p99" in page
    assert "](images/throughput.svg)" in page
    assert "](docs/images/throughput.svg)" in (tmp_path / "README.md").read_text()


def test_a_quick_run_is_not_published(result: dict[str, Any]) -> None:
    result["settings"]["quick"] = True
    with pytest.raises(ValueError, match="quick"):
        fill(ROOT, result)


def test_the_pages_have_a_place_for_every_kind_of_result() -> None:
    page = (ROOT / PAGES[0]).read_text()
    makefile = (ROOT / "Makefile").read_text()
    parts = re.search(r"^BENCHMARKS := (.+)$", makefile, re.MULTILINE)
    assert parts
    for kind in ("chart", "soak", *parts[1].split()):
        assert page.count(f"<!-- measured: {kind} -->") == 1
    for name in PAGES[1:]:
        assert (ROOT / name).read_text().count("<!-- measured: chart -->") == 1
