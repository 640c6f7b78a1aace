"""Record what the pipelines of transformers 4.57 answer, for the parity tests to compare with.

Run it again in a virtual environment of its own, from the repository's root::

    python -m venv build/reference
    build/reference/bin/pip install 'transformers==4.57.6' torch
    build/reference/bin/python -m tests.parity.record [TASK ...]

Each module of ``tests/parity/tasks`` records one task: its ``record(models)`` returns JSON, which
goes to ``tests/parity/<module>.json`` beside the package versions it was made with. ``models`` is
the folder of the tiny checkpoints; they are kept here, and a missing one is made again.
"""

import json
import pkgutil
import platform
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
MODELS = HERE / "models"
PACKAGES = ("transformers", "tokenizers", "torch", "numpy")


def main(names: list[str]) -> None:
    """Record the named tasks, or all."""
    if not version("transformers").startswith("4.57."):
        sys.exit("The reference is transformers 4.57; see the top of tests/parity/record.py.")
    tasks = HERE / "tasks"
    known = sorted(module.name for module in pkgutil.iter_modules([str(tasks)]))
    packages = {name: version(name) for name in PACKAGES} | {"python": platform.python_version()}
    for name in names or known:
        answers = import_module(f"tests.parity.tasks.{name}").record(MODELS)
        file = HERE / f"{name}.json"
        text = json.dumps(
            {"packages": packages, **answers}, ensure_ascii=False, separators=(",", ":")
        )
        # One answer a line keeps diffs readable.
        file.write_text(text.replace(',{"text"', ',\n{"text"') + "\n", encoding="utf-8")
        print(f"{file.relative_to(HERE.parent.parent)}: {file.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
