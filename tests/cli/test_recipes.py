"""``tuneserve recipes init``: a recipe that trains as it is, whatever the columns are called."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from model_store.store import Store
from tests.deploy.dockerfile import ROOT
from tests.train.runs import WRITERS, tiny_base
from train.examples import read_examples
from train.recipe import Recipe
from train.recipe_file import load_recipe
from train.starter import epochs_for
from train.tasks import training_task


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SERVE_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("TUNESERVE_DEBUG", raising=False)


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in args])


def init(*args: object) -> Recipe:
    """The recipe that is printed, written beside the data and read again."""
    done = run("recipes", "init", *args)
    assert done.exit_code == 0, done.output
    Path("r.toml").write_text(done.stdout)
    return load_recipe(Path("r.toml"))


def read(recipe: Recipe) -> Any:
    job = training_task(recipe)
    read_examples(recipe, job)
    return job


@pytest.mark.parametrize("task", WRITERS)
def test_a_recipe_of_every_task_trains_as_it_is(task: str, tmp_path: Path) -> None:
    file = WRITERS[task](tmp_path)
    tiny_base(tmp_path / "base", task)
    recipe = init(task, file, "--base", "base", "--name", "mine")
    assert recipe.model.name == "mine"
    plain = ("--set", "artifacts.onnx_fp32=false", "--set", "artifacts.onnx_int8=false")
    # One epoch and two held-out examples cannot show that a model beats the commonest answer.
    short = ("--set", "optim.epochs=1", "--set", "gates.min_gain=-1000")
    done = run("train", "r.toml", *plain, *short, "--quiet")
    assert done.exit_code == 0, done.output
    assert Store(tmp_path / "store").aliases("mine") == {"production": 1}


def test_the_model_is_named_after_the_file() -> None:
    Path("shop messages (2).csv").write_text("text,label\n" + "a,x\nb,y\n" * 9)
    assert init("classification", "shop messages (2).csv").model.name == "shop-messages-2"


def test_dev_and_test_files_beside_a_train_file_are_used() -> None:
    for name in ("my_train.csv", "my_valid.csv", "my_test.csv"):
        Path(name).write_text("text,label\n" + "a,x\nb,y\n" * 9)
    data = init("classification", "my_train.csv").data
    assert data.dev is not None
    assert data.test is not None
    assert (data.dev.name, data.test.name) == ("my_valid.csv", "my_test.csv")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Utterance,Intent\nhello there,x\nbye bye,y\n", {"text": "Utterance", "label": "Intent"}),
        (
            "id,premise,hypothesis,label\n1,it rains,wet,x\n2,sun,dry,y\n",
            {"text": "premise", "text_pair": "hypothesis", "label": None},
        ),
        ("hello there you,x\nbye bye,y\nhello again,x\n", {"columns": ["text", "label"]}),
        ("1,y,bye bye\n2,x,hello\n3,y,ciao\n", {"columns": ["column1", "label", "text"]}),
        ('text,label\na,x\nb,y\nc,"x,y"\nd,"y,x"\n', {"label_separator": ","}),
        ('text,label\na,"x, really"\nb,y\nc,y\n', {"label_separator": None}),
        ("what,kind\na longer text,x\nanother one,y\nand one,x\n", {"label": "kind"}),
    ],
)
def test_columns_are_told_apart(text: str, expected: dict[str, Any]) -> None:
    Path("d.csv").write_text(text)
    done = run("recipes", "init", "classification", "d.csv")
    assert done.exit_code == 0, done.output
    data = tomllib.loads(done.stdout)["data"]
    assert {key: data.get(key) for key in expected} == expected


def test_numbers_are_a_regression_only_with_fractions() -> None:
    Path("d.csv").write_text("text,label\n" + "a,0.5\nb,1\nc,4.75\n" * 5)
    assert read(init("classification", "d.csv")).problem_type == "regression"
    Path("d.csv").write_text("text,label\n" + "a,0\nb,1\n" * 5)
    assert read(init("classification", "d.csv")).labels == ["0", "1"]


def test_a_summary_column_of_another_name_is_found() -> None:
    row = {"article": "One is here. Two is not.", "highlights": "One is here."}
    Path("d.jsonl").write_text("\n".join([json.dumps(row)] * 9))
    data = init("summary", "d.jsonl").data
    assert (data.document, data.summary) == ("article", "highlights")


def test_the_comments_say_what_was_found() -> None:
    Path("d.csv").write_text("text,label\n" + "one two three,x\n" * 7 + "four,y\n" * 2)
    done = run("recipes", "init", "classification", "d.csv")
    assert "9 examples, 3 words in the median and 3 at most" in done.stdout
    assert "Labels: x 7, y 2." in done.stdout
    assert "1 of 2 labels have fewer than five examples" in done.stdout


def test_few_examples_are_read_more_often() -> None:
    assert [epochs_for(count, 32) for count in (40, 1000, 3200, 100_000)] == [20, 10, 3, 3]


def test_errors_are_one_sentence(tmp_path: Path) -> None:
    Path("empty.csv").write_text("text,label\n")
    Path("one.csv").write_text("text,label\na,x\n")
    for args, reason in (
        (("chat", "one.csv"), "choose from classification, ner, qa, summary"),
        (("classification", "none.csv"), "There is no file none.csv"),
        (("classification", "empty.csv"), "holds no examples"),
        (("classification", "one.csv"), "two are needed"),
        (("classification", "one.csv", "--name", "a b"), "cannot be the name of a model"),
    ):
        done = run("recipes", "init", *args)
        assert done.exit_code == 2, done.output
        assert reason in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.e2e
def test_the_walk_through_of_the_documents_works_as_it_stands(tmp_path: Path) -> None:
    """The commands of docs/training.md, handed to a shell, on a file such as it describes."""
    section = (ROOT / "docs" / "training.md").read_text().split("## ", 2)[1]
    assert section.startswith("From a CSV")
    (commands,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert len(commands.splitlines()) < 5
    (sample,) = re.findall(r"```csv\n(.*?)```", section, re.DOTALL)
    header, *rows = sample.strip().splitlines()
    # The document shows two lines per label; people have more.
    more = [row.replace("?", f" {n}?").replace(".", f" {n}.") for row in rows for n in range(12)]
    Path("messages.csv").write_text("\n".join([header, *more]))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    told = re.search(r"ends with `(messages@1: .*?)`", section)
    assert told is not None
    assert told[1] in done.stderr
    assert Store(tmp_path / "store").aliases("messages") == {"production": 1}
    version = Store(tmp_path / "store").resolve("messages")
    assert version.id == "messages@1"
    for name in re.findall(r"`(store/\S+)`", section):
        assert (tmp_path / name).is_file(), name
    answer = json.loads(done.stdout[done.stdout.index("[") :])
    assert answer[0][0]["label"] == "delivery"
