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
        *(_labels(data["labels"]) if data["labels"] else []),
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
        *_artifacts(content["artifacts"], metric),
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


def _labels(labels: dict[str, int]) -> list[str]:
    return _table(["label", "training examples"], [[k, v] for k, v in labels.items()])


def _artifacts(artifacts: Sequence[dict[str, Any]], metric: str) -> list[str]:
    """One row each; written answers have two columns more."""
    written = artifacts[0]["tokens_per_s"] is not None
    head = ["artifact", metric, "answers equal to fp32", "MiB", "items/s"]
    rows = []
    for one in artifacts:
        row = [
            f"{one['format']} {one['precision']}",
            _number(one["dev"].get(metric), 4),
            _number(one["agreement"], 4),
            f"{one['bytes'] / 2**20:.1f}",
            _number(one["items_per_s"], 1 if written else 0),
        ]
        if written:
            company = one["company"]
            same = None if company is None else 1 - company["changed"] / company["items"]
            row += [_number(one["tokens_per_s"], 0), _number(same, 4)]
        rows.append([*row, _verdict(one)])
    more = ["tokens/s", "answers equal alone and in a batch"] if written else []
    return _table([*head, *more, "verified"], rows)


def _curves(curves: list[dict[str, float]]) -> list[str]:
    names = list(dict.fromkeys(name for one in curves for name in one))
    return _table(
        names, [[f"{one[name]:.4g}" if name in one else "" for name in names] for one in curves]
    )


def _verdict(one: dict[str, Any]) -> str:
    """Whether an artifact is inside the gate, what it took, and what did not do."""
    floats = f", with {', '.join(one['float_parts'])} in float" if one["float_parts"] else ""
    verdict = f"yes{floats}" if one["verified"] else "no: " + " ".join(one["reasons"])
    return f"{verdict}{'; tried: ' if one['tried'] else ''}{' '.join(one['tried'])}"


def _number(value: float | None, places: int) -> str:
    """Nothing for what could not be measured."""
    return "" if value is None else f"{value:.{places}f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = [[str(cell).replace("|", "\\|") for cell in row] for row in (head, *rows)]
    separator = ["---"] * len(head)
    return [f"| {' | '.join(line)} |" for line in (lines[0], separator, *lines[1:])]
