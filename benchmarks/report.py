"""From result files to the pages: ``python -m benchmarks.report RESULT.json...``.

Each page has places that begin with ``<!-- measured: NAME -->`` and end with ``<!-- end -->``; what
stands between is replaced by the table of the result of that kind. A result of ``make bench`` also
draws ``docs/images/throughput.svg``, and fills the places named ``chart`` with it, in the README
too.
"""

import argparse
import importlib
import json
import os
import re
from pathlib import Path
from typing import Any

from benchmarks.chart import chart
from benchmarks.tables import summary as bench_summary

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("docs/performance.md", "README.md", "README.zh.md")
CHART = "docs/images/throughput.svg"
CAPTIONS = {
    "README.zh.md": "吞吐量与 p99 延迟随客户端数的变化",
    "": "Throughput and p99 against clients, beside peers and the bare engine",
}
"""What is read aloud, by page."""
BENCH = "bench"


def main() -> None:
    """Fill the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="+", type=Path)
    parser.add_argument("--root", default=ROOT, type=Path, help="the tree whose pages are filled")
    arguments = parser.parse_args()
    for path in arguments.results:
        for page in fill(arguments.root, json.loads(path.read_text(encoding="utf-8"))):
            print(f"{path}: {page}")


def fill(root: Path, result: dict[str, Any]) -> list[str]:
    """Put one result where it belongs.

    Returns:
        The pages that it filled, and the chart if it drew one.

    Raises:
        ValueError: no page has a place for it, or it is from ``--quick``.
    """
    kind = result["kind"]
    if result.get("settings", {}).get("quick"):
        raise ValueError("A quick run only shows that everything works: it is not published.")
    contents = {kind: summary(result)}
    written = []
    if kind == BENCH:
        (root / CHART).write_text(chart(result), encoding="utf-8")
        written.append(CHART)
    for name in PAGES:
        page = root / name
        if kind == BENCH:
            image = os.path.relpath(root / CHART, page.parent)
            contents["chart"] = f"![{CAPTIONS.get(name, CAPTIONS[''])}]({image})"
        before = page.read_text(encoding="utf-8")
        after = filled(before, contents)
        if after != before:
            page.write_text(after, encoding="utf-8")
            written.append(name)
    if not written:
        raise ValueError(f"No page has a place for {kind}, or it holds just this already.")
    return written


def filled(page: str, contents: dict[str, str]) -> str:
    """A page with new contents in its places."""
    for name, content in contents.items():
        place = re.compile(rf"(<!-- measured: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        page = place.sub(lambda found, new=content: f"{found[1]}{new.strip()}\n{found[2]}", page)
    return page


def summary(result: dict[str, Any]) -> str:
    """The tables of a result, whatever its kind."""
    if result["kind"] == BENCH:
        return bench_summary(result)
    module = importlib.import_module(f"benchmarks.{result['kind']}")
    told: str = module.summary(result)
    return told


if __name__ == "__main__":
    main()
