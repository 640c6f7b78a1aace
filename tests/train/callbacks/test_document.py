"""docs/callbacks.md is true: its table, its recipe and its own callback."""

import inspect
import re
from pathlib import Path

from tests.train.engine import fit_tiny
from train.callbacks import Callback, Run
from train.callbacks.choice import BUILT_IN

PAGE = (Path(__file__).parents[3] / "docs" / "callbacks.md").read_text()


class Notes(Callback):
    def __init__(self) -> None:
        self.notes: list[tuple[list[str], int]] = []

    def on_step_end(self, run: Run) -> None:
        self.notes.append((run.frozen, run.batch_rows))


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_table_names_every_built_in_callback_with_all_its_arguments() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE, re.MULTILINE)
    table = dict(rows)
    for name, kind in BUILT_IN.items():
        arguments = inspect.signature(kind).parameters
        assert arguments.keys() <= set(re.findall(r"`(\w+)`", table[name])), name


def test_the_page_names_every_moment_and_everything_of_a_run() -> None:
    for kind, prefix in ((Callback, "on_"), (Run, "")):
        for name in vars(kind):
            if not name.startswith("_") and name.startswith(prefix) and name != "requires":
                assert re.search(rf"`(run\.)?{name}\b", PAGE), name


def test_the_callback_of_twelve_lines_runs_as_written(tmp_path: Path) -> None:
    (code,) = blocks("python")
    lines = [line for line in code.splitlines() if line]
    assert len(lines) <= 12
    (tmp_path / "my_callbacks.py").write_text(code)
    entry = blocks("toml")[1]
    notes = Notes()
    # A mark of 0 is passed after the first epoch, one of 2 never.
    fit_tiny(tmp_path, more=entry.replace("0.7", "0.0"), epochs=2, batch_rows=8, callbacks=[notes])
    head_alone = ["embeddings", "encoder"]
    assert notes.notes == [(head_alone, 8)] * 6 + [([], 64)]
    moved = fit_tiny(tmp_path, more=entry.replace("0.7", "2.0"), epochs=2).moved()
    assert moved
    assert not any("embeddings" in name or "encoder" in name for name in moved)


def test_the_recipe_of_the_page_trains(tmp_path: Path) -> None:
    path = tmp_path / "curves.jsonl"
    entry = blocks("toml")[0].replace("curves.jsonl", str(path))
    fit_tiny(tmp_path, more=entry, epochs=2)
    assert path.read_text()
