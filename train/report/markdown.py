"""The report as a page of Markdown: readable in a terminal and in a code review."""

from collections.abc import Sequence
from typing import Any


def markdown(content: dict[str, Any]) -> str:
    """The report as a page; see ``Report.as_dict`` for its contents."""
    data, metric = content["data"], content["metric"]
    held_out = "test" if data.get("test") else "dev"
    lines = [
        f"# {content['name']}: {content['task']}",
        "",
        f"Made {content['created']} with",
        "",
        f"    {content['command']}",
        "",
        "## Data",
        "",
        f"{data['train']} training examples ({data['rows']} rows), {data['dev']} for development, "
        f"{data.get('test', 0)} held out for the test.",
        "",
        *(f"- {name}: {count}" for name, count in data["notes"].items()),
        "",
        *_table(["label", "training examples"], [[k, v] for k, v in data["labels"].items()]),
        "",
        f"## Scores on the {held_out} set",
        "",
        *_table(
            ["", *content["scores"][held_out]],
            [
                [name, *(f"{value:.4f}" for value in scores.values())]
                for name, scores in {
                    "this model": content["scores"][held_out],
                    **{f"baseline: {name}": one for name, one in content["baselines"].items()},
                }.items()
            ],
        ),
        "",
        "## Training",
        "",
        f"{content['training']['steps']} steps"
        f"{' in bfloat16' if content['training']['bf16'] else ''}; "
        f"the best epoch by dev {metric} was kept.",
        "",
        *_curves(content["training"]["curves"]),
        "",
        "## Artifacts, measured on the dev set",
        "",
        *_table(
            ["artifact", metric, "answers equal to fp32", "MiB", "items/s", "verified"],
            [
                [
                    f"{one['format']} {one['precision']}",
                    _number(one["dev"].get(metric), 4),
                    _number(one["agreement"], 4),
                    f"{one['bytes'] / 2**20:.1f}",
                    _number(one["items_per_s"], 0),
                    "yes" if one["verified"] else "no: " + " ".join(one["reasons"]),
                ]
                for one in content["artifacts"]
            ],
        ),
        "",
        "An artifact that is not verified is not part of the version.",
        "",
        "## Time",
        "",
        *_table(
            ["phase", "seconds", "CPU seconds"],
            [
                [name, f"{value:.1f}", f"{content['cpu_seconds'][name]:.1f}"]
                for name, value in content["seconds"].items()
            ],
        ),
        "",
        "## Packages",
        "",
        ", ".join(f"{name} {number}" for name, number in content["packages"].items()),
        "",
    ]
    return "\n".join(lines)


def _curves(curves: list[dict[str, float]]) -> list[str]:
    names = list(dict.fromkeys(name for one in curves for name in one))
    return _table(
        names, [[f"{one[name]:.4g}" if name in one else "" for name in names] for one in curves]
    )


def _number(value: float | None, places: int) -> str:
    """Nothing for what could not be measured."""
    return "" if value is None else f"{value:.{places}f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = [[str(cell).replace("|", "\\|") for cell in row] for row in (head, *rows)]
    separator = ["---"] * len(head)
    return [f"| {' | '.join(line)} |" for line in (lines[0], separator, *lines[1:])]
