"""Everything that is worth keeping of one run, and the three files that it is written to."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.recipe import Recipe
from train.report.findings import Findings
from train.report.markdown import markdown
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
    """What is odd about the data, counted; see ``train.data.oddities``."""
    labels: dict[str, int]
    """How often each label occurs in the training part."""
    rows: int
    card: dict[str, Any]
    """Lengths; see ``train.card``."""
    findings: Findings
    """Of the fp32 checkpoint on the held-out part."""
    fitted: "Fitted"
    measured: Sequence[Measured]
    baselines: dict[str, Scores]
    """On the test set, or on the dev set where there is none."""
    seconds: dict[str, float]
    cpu_seconds: dict[str, float]
    """Per phase; see ``train.run.Clock``."""

    def write(self, folder: Path) -> None:
        """Write ``report.json``, ``report.md`` and ``report.html``."""
        content = self.as_dict()
        (folder / "report.json").write_text(
            json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        (folder / "report.md").write_text(markdown(content), encoding="utf-8")
        # Jinja is read from disk only where a report is written.
        from train.report.page import page

        (folder / "report.html").write_text(page(content), encoding="utf-8")

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
                **self.card,
            },
            "training": {
                "steps": self.fitted.steps,
                "bf16": self.fitted.bf16,
                "best_dev": self.fitted.best,
                "curves": self.fitted.curves,
            },
            "scores": {"dev": reference.dev, "test": reference.test},
            "baselines": self.baselines,
            "findings": asdict(self.findings),
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
