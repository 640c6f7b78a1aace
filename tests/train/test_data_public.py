"""The recipes for public data: all can be read; with the data at hand, all fit their files."""

import json
import os
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from contracts.errors import CheckpointError
from train.recipe import Recipe
from train.recipe_file import load_recipe

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "examples" / "public").glob("*.toml"))
DATA = Path(os.environ.get("PUBLIC_DATA", ROOT.parent / "shared" / "data"))

EXAMPLES = {
    "banking77": (10003, 3080),
    "bc5cdr": (4560, 4797),
    "csl_zh_category": (8000, 1000),
    "dialogsum": (12460, 500),
    "dialogsum_abstractive": (12460, 500),
    "goemotions": (43410, 5427),
    "scitldr": (1992, 618),
    "scitldr_abstractive": (1992, 618),
    "squadshifts": (7938, 1190),
    "wnut17": (3394, 1287),
}
"""Training and test examples that the sources count."""

SHARES = {"dialogsum_abstractive": 0.04}
"""Of the training file that is the dev set, where it is not a tenth."""


def test_there_is_a_recipe_for_every_set() -> None:
    assert [path.stem for path in RECIPES] == sorted(EXAMPLES)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_public_recipe_is_valid_and_says_what_it_may_be_used_for(path: Path) -> None:
    recipe = Recipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    assert recipe.data.source
    assert recipe.data.licence
    assert recipe.data.sha256.keys() == {"train", "test"}
    assert recipe.data.dev is None, "choices are made on a part of the training data"
    assert recipe.data.dev_share == SHARES.get(path.stem, 0.1)
    assert recipe.data.test is not None
    assert str(recipe.data.train.parent) != "."
    assert f"| `{path.name}` |" in (path.parent / "README.md").read_text()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_without_its_data_a_public_recipe_says_where_they_are(path: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"get it from github\.com/.*--set data\.dir=FOLDER"):
        load_recipe(path, [f"data.dir={tmp_path}"])


@pytest.mark.e2e  # minutes of reading
@pytest.mark.skipif(not DATA.is_dir(), reason="PUBLIC_DATA does not name a folder with the data")
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_dry_run_reads_the_public_data(path: Path) -> None:
    arguments = ["train", str(path), "--dry-run", "--set", f"data.dir={DATA}"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    plan = json.loads(result.stdout)
    found = plan["examples"]
    assert (found["train"] + found["dev"], found["test"]) == EXAMPLES[path.stem]
    share = SHARES.get(path.stem, 0.1)
    assert abs(found["dev"] / EXAMPLES[path.stem][0] - share) <= 0.01
    assert "tags repaired" not in plan["notes"]
