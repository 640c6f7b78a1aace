"""What a run did, for a person (``report.md``) and for programs (``report.json``)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.recipe import Recipe
from train.tasks.base import Scores
from train.verify import Measured

if TYPE_CHECKING:
    from train.fit import Fitted

PACKAGES = (
    "tuneserve",
    "torch",
    "transformers",
    "tokenizers",
    "accelerate",
    "datasets",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "nncf",
    "numpy",
)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is worth keeping of one run."""

    recipe: Recipe
    command: str
    metric: str
    counts: dict[str, int]
    """Examples by part: train, dev, test."""
    notes: dict[str, int]
    """What is odd about the data, counted; see ``train.data.card``."""
    labels: dict[str, int]
    """How often each label occurs in the training part."""
    rows: int
    fitted: "Fitted"
    measured: Sequence[Measured]
    baselines: dict[str, Scores]
    """On the test set, or on the dev set where there is none."""
    seconds: dict[str, float]
    cpu_seconds: dict[str, float]
    """Per phase; see ``train.run.Clock``."""

    def write(self, folder: Path) -> None:
        """Write both files."""
        content = self.as_dict()
        (folder / "report.json").write_text(
            json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        (folder / "report.md").write_text(markdown(content), encoding="utf-8")

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as in ``report.json``."""
        reference = self.measured[0]
        return {
            "name": self.recipe.model.name,
            "task": str(self.recipe.model.task),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": self.command,
            "metric": self.metric,
            "recipe": self.recipe.portable(),
            "recipe_sha256": self.recipe.sha256,
            "data": {
                **self.counts,
                "rows": self.rows,
                "notes": self.notes,
                "labels": self.labels,
            },
            "training": {
                "steps": self.fitted.steps,
                "bf16": self.fitted.bf16,
                "best_dev": self.fitted.best,
                "curves": self.fitted.curves,
            },
            "scores": {"dev": reference.dev, "test": reference.test},
            "baselines": self.baselines,
            "artifacts": [one.as_dict() for one in self.measured],
            "seconds": {name: round(value, 2) for name, value in self.seconds.items()},
            "cpu_seconds": {name: round(value, 2) for name, value in self.cpu_seconds.items()},
            "packages": packages(),
        }


def packages() -> dict[str, str]:
    """Versions of what is installed and shapes the result."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


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
        *(f"- {name}: {count}" for name, count in data.get("notes", {}).items()),
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
                    f"{one['dev'][metric]:.4f}",
                    f"{one['agreement']:.4f}",
                    f"{one['bytes'] / 2**20:.1f}",
                    f"{one['items_per_s']:.0f}",
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


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = [[str(cell).replace("|", "\\|") for cell in row] for row in (head, *rows)]
    separator = ["---"] * len(head)
    return [f"| {' | '.join(line)} |" for line in (lines[0], separator, *lines[1:])]
