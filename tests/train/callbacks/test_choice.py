"""Which callbacks a recipe may name, and what it is told when it errs."""

import pickle
from pathlib import Path

import pytest

from contracts.errors import CheckpointError
from tests.train.runs import write_classification, write_recipe
from train.callbacks.choice import BUILT_IN, CallbackChoice, make_callbacks
from train.recipe import Recipe
from train.recipe_file import load_recipe


def load(folder: Path, entry: str) -> Recipe:
    more = f"[[callbacks]]\n{entry}"
    return load_recipe(
        write_recipe(folder, "classification", write_classification(folder), more), ()
    )


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ('name = "steplr"', r'no callback "steplr"; did you mean "step_lr"\?'),
        ('name = "step_lr"\nfacter = 0.1', r'"step_lr" has no argument "facter"; .* "factor"\?'),
        ('name = "step_lr"\nfactor = 2', r'"step_lr": factor is 2: input should be less than 1'),
        ('name = "step_lr"\nper = "day"', r"per is 'day': input should be 'epoch' or 'step'"),
        ('name = "metric_log"', '"metric_log": path is missing'),
        ('name = "metric_log"\npath = "a.txt"', r"must end in \.jsonl or \.csv"),
        ("factor = 2", r'a name = "\.\.\." or a class = '),
        ('name = "step_lr"\nclass = "a.B"', r'a name = "\.\.\." or a class = '),
        ('class = "Mine"', r"must be module\.Class"),
        ('class = "not_there.Mine"', "No module named 'not_there'"),
        ('class = "json.Mine"', 'module json has no class "Mine"'),
        ('class = "json.JSONDecoder"', "is no subclass of"),
    ],
)
def test_a_wrong_callback_is_refused_before_work_starts(
    entry: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=reason):
        load(tmp_path, entry)


def test_every_built_in_callback_says_what_it_does() -> None:
    for kind in BUILT_IN.values():
        assert kind.__doc__


def test_a_recipe_keeps_its_callbacks_in_its_hash_and_across_processes(tmp_path: Path) -> None:
    recipe = load(tmp_path, 'name = "step_lr"\nfactor = 0.1')
    assert recipe.portable()["callbacks"] == [{"name": "step_lr", "class": None, "factor": 0.1}]
    assert recipe.sha256 != load(tmp_path, 'name = "step_lr"').sha256
    again = pickle.loads(pickle.dumps(recipe))
    assert again == recipe
    assert again.folder == recipe.folder == tmp_path


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow"])
def test_a_missing_package_is_named_with_the_way_to_get_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = BUILT_IN[name]
    assert kind.requires == name
    monkeypatch.setattr(kind, "requires", "package_that_nobody_has")
    arguments = {"folder": "x"} if name == "tensorboard" else {}
    choice = CallbackChoice(name=name, **arguments)  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="pip install 'tuneserve\\[package_that"):
        make_callbacks([choice], None)
