"""Bad data of every kind: refused with file, line and reason, and nothing is published."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from rich.console import Console

from contracts.errors import CheckpointError
from model_store.manifest import Manifest
from model_store.store import Store
from tests.model_store.checkpoints import build_version
from tests.train.runs import WRITERS, run
from tests.train.test_data import job, write
from tests.train.test_disk import FULL
from train.examples import read_examples
from train.recipe import Recipe
from train.recipe_file import load_recipe
from train.run import publish
from train.tasks import training_task

CSV = "text,label\n" + "".join(f"refund {n},money\nparcel {n},delivery\n" for n in range(10))
"""21 lines."""
CONLL = "Angela\tB-PER\nran\tO\n\n" * 6
"""18 lines."""
FAR = "".join(f"a message that fills the file {n},money\n" for n in range(300))
"""300 lines, more than the first 8 kB."""


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def squad(**change: Any) -> str:
    """Two questions, the second one changed; its line is 18."""
    good = {"question": "Who?", "answers": [{"text": "Ada", "answer_start": 0}]}
    paragraph = {"context": "Ada ran.", "qas": [good, {**good, **change}]}
    return json.dumps({"data": [{"paragraphs": [paragraph]}]}, indent=1)


MARKED = {"sentences": ["A.", "B."], "labels": [1, 0]}
LABELLED = [{"text": f"a {n}", "label": "xy"[n % 2]} for n in range(8)]
TAGGED = {"tokens": ["Ada", "ran"], "tags": ["B-PER", "O"]}
REGRESSION = 'problem_type = "regression"'

BAD: list[tuple[str, str, str | bytes, str]] = [
    # Encodings.
    ("classification", "a.csv", CSV.encode("utf-16"), "line 1: this is UTF-16"),
    ("classification", "a.csv", b"\xfe\xff" + CSV.encode("utf-16-be"), "line 1: this is UTF-16"),
    ("classification", "a.csv", CSV.encode("utf-32"), "line 1: this is UTF-16"),
    ("classification", "a.csv", CSV + '"two\nlines",money\ncaf\0e,money\n', "line 24: .*zero byte"),
    ("classification", "a.csv", CSV + FAR + "caf\0e,money\n", "line 322: .*zero byte"),
    ("ner", "a.conll", CONLL + "Ad\0a\tB-PER\n", "line 19: .*zero byte"),
    (
        "classification",
        "a.csv",
        (CSV + '"two\nlines",money\ncafé,money\n').encode("latin-1"),
        "line 24: byte 0xe9",
    ),
    # Tables.
    ("classification", "a.csv", CSV + '"two\nlines",money\nonly\n', "line 24: 1 fields where 2"),
    (
        "classification",
        "a.csv",
        (CSV + '"two\nlines",money\nonly\n').replace("\n", "\r\n"),
        "line 24: 1 fields where 2",
    ),
    ("classification", "a.csv", CSV + "a,b,money\n", "line 22: 3 fields where 2"),
    (
        "classification",
        "a.csv",
        CSV + '"no end,money\nb,money\n',
        "line 22: unexpected end of data",
    ),
    ("classification", "a.csv", CSV.replace("text", "label", 1), 'line 1: .*two columns "label"'),
    ("classification", "a.csv", "", "holds no examples"),
    ("classification", "a.csv", "text,label\n", "holds no examples"),
    ("classification", "a.csv", CSV + " ,money\n", 'line 22: column "text" must be text'),
    ("classification", "a.csv", CSV + "a, \n", 'line 22: column "label" is empty'),
    ("classification", "a.jsonl", lines(*LABELLED) + '{"text": "a"\n', "line 9: not JSON"),
    ("classification", "a.jsonl", lines(*LABELLED) + "[" * 100_000 + "\n", "line 9: not JSON"),
    ("classification", "a.jsonl", lines(*LABELLED) + "1" * 5000 + "\n", "line 9: not JSON"),
    (
        "classification",
        "a.jsonl",
        lines(*LABELLED, {"text": "half a pair: \ud83d", "label": "x"}),
        r"line 9: not JSON: .*\\ud83d",
    ),
    # Labels.
    (
        "classification",
        "a.jsonl",
        lines(*LABELLED, {"text": "a", "label": None}),
        'line 9: column "label" is empty',
    ),
    (
        "classification",
        "a.jsonl",
        lines(*LABELLED, {"text": "a", "label": float("nan")}),
        'line 9: column "label" is empty',
    ),
    (
        "classification",
        "a.jsonl",
        lines(*LABELLED, {"text": "a", "label": {"name": "x"}}),
        "line 9: label {'name': 'x'} must be text or a number",
    ),
    (
        "classification",
        "a.jsonl",
        lines(*LABELLED, {"text": "a", "label": [["x"]]}),
        r"line 9: label \['x'\] must be text or a number",
    ),
    # Tags.
    ("ner", "a.conll", CONLL + "Bob\tI-PER\n", 'line 19: "I-PER" stands first.*1 such places'),
    ("ner", "a.conll", CONLL + "Bob\tPER\n", 'line 19: "PER" is no tag of the scheme bio'),
    ("ner", "a.conll", CONLL.replace("\n", "\r") + "Bob\r", "line 19: a token and its tag"),
    ("ner", "a.conll", CONLL + "\u200b\tO\n", "line 19: .*without a visible character"),
    (
        "ner",
        "a.jsonl",
        lines(*[TAGGED] * 6, {**TAGGED, "tokens": ["Ada", None]}),
        "line 7: tokens must be text, not None",
    ),
    ("ner", "a.jsonl", lines(*[TAGGED] * 6, {**TAGGED, "tags": ["O"]}), "line 7: .*one length"),
    # Answers.
    ("qa", "a.json", squad(answers=[{"text": "Ada", "answer_start": 1}]), "line 18, .*'da ' at 1"),
    ("qa", "a.json", squad(answers=[{"text": "da", "answer_start": True}]), "line 18, .*be a int"),
    ("qa", "a.json", squad(answers=[{"text": "", "answer_start": 0}]), "line 18, .*is empty"),
    ("qa", "a.json", squad(is_impossible="false"), 'line 18, .*"is_impossible" must be .* a bool'),
    ("qa", "a.json", squad(is_impossible=True), 'line 18, .*"is_impossible" and an answer'),
    ("qa", "a.json", squad(question=" "), "line 18, .*must not be empty"),
    ("qa", "a.json", squad()[:-9], "line 2.: not JSON"),
    ("qa", "a.json", "[" * 100_000, "line 1: not JSON: .* too deeply"),
    ("qa", "a.json", squad(text="\ud83d\ude00, \ude00\ud83d"), "line 25: .*half of a character"),
    ("qa", "a.json", squad().replace('"answers"', '"question"'), ": not JSON: the key .* twice"),
    # Summaries.
    ("summary", "a.jsonl", lines(MARKED, {**MARKED, "labels": [1]}), "line 2: .*one 0 or 1"),
    ("summary", "a.jsonl", lines(MARKED, {"sentences": [], "labels": []}), "line 2: .*empty"),
    (
        "summary",
        "a.jsonl",
        lines(MARKED, {"sentences": ["A.", " "], "labels": [0, 1]}),
        "line 2: .*marks a sentence that is empty",
    ),
]


@pytest.mark.parametrize("part", ["train", "dev", "test"])
@pytest.mark.parametrize(("task", "name", "content", "expected"), BAD)
def test_bad_data_in_any_part_are_refused_with_file_line_and_reason_and_nothing_is_published(
    task: str, name: str, content: str | bytes, expected: str, part: str, tmp_path: Path
) -> None:
    path = write(tmp_path, name, content)
    parts = {"train": WRITERS[task](tmp_path), part: name}
    refused(tmp_path, task, parts, f"{re.escape(str(path))},? ?{expected}")


def refused(folder: Path, task: str, parts: dict[str, str], expected: str, model: str = "") -> None:
    recipe = folder / "recipe.toml"
    data = "\n".join(f"{part} = {json.dumps(name)}" for part, name in parts.items())
    recipe.write_text(f'[model]\nname = "m"\ntask = "{task}"\n{model}\n[data]\n{data}\n')
    with pytest.raises(CheckpointError, match=expected) as found:
        run(recipe, folder / "store")
    assert "\n" not in str(found.value)
    assert not (folder / "store").exists()


@pytest.mark.parametrize("part", ["dev", "test"])
def test_labels_and_types_that_training_does_not_have_are_refused_in_other_parts(
    part: str, tmp_path: Path
) -> None:
    write(tmp_path, "other.csv", "text,label\na,money\n\nb,monye\n")
    parts = {"train": WRITERS["classification"](tmp_path), part: "other.csv"}
    refused(
        tmp_path, "classification", parts, r'other\.csv, line 4: unknown label "monye".*"money"'
    )
    write(tmp_path, "other.conll", "Ada\tB-PER\n\nin\tO\nMay\tB-DATE\n")
    parts = {"train": WRITERS["ner"](tmp_path), part: "other.conll"}
    refused(tmp_path, "ner", parts, r'other\.conll, line 4: unknown entity type "DATE".*LOC, PER')


@pytest.mark.parametrize("value", ["much", "nan", "-inf", ""])
def test_a_number_to_be_learnt_is_one(value: str, tmp_path: Path) -> None:
    write(tmp_path, "a.csv", f"text,label\na,1.5\nb,{value}\n")
    expected = r'a\.csv, line 3: column "label" must be a number'
    refused(tmp_path, "classification", {"train": "a.csv"}, expected, REGRESSION)


@pytest.mark.parametrize(
    ("texts", "labels", "expected"),
    [
        (["a", None, "c"], ["x", "y", "x"], 'row 2: column "text" must be text'),
        (["a", "b", "c"], ["x", "y", None], 'row 3: column "label" is empty'),
        (["a", "b", "c"], [0, None, 1], 'row 2: column "label" is empty'),
        (["a", "b", "c"], [0.0, 1.0, float("nan")], 'row 3: column "label" is empty'),
    ],
)
def test_nulls_of_parquet_are_refused_with_their_row(
    texts: list[Any], labels: list[Any], expected: str, tmp_path: Path
) -> None:
    table = pyarrow.table({"text": texts, "label": labels})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    refused(tmp_path, "classification", {"train": "a.parquet"}, rf"a\.parquet, {expected}")


def test_line_ends_of_any_kind_and_long_texts_are_read(tmp_path: Path) -> None:
    for end in ("\n", "\r\n", "\r"):
        path = write(tmp_path, "a.csv", CSV.replace("\n", end))
        assert len(job("classification", path).read(path)) == 20
        path = write(tmp_path, "a.conll", CONLL.replace("\n", end))
        assert len(job("ner", path).read(path)) == 6
    path = write(tmp_path, "b.csv", "text,label\n" + "a long story " * 20_000 + ",x\n")
    assert len(job("classification", path).read(path)[0].text) > 2**17


def test_rows_that_hold_nothing_to_learn_are_left_out_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", lines(*[TAGGED] * 6, {"tokens": [], "tags": []}))
    task = job("ner", path)
    assert len(task.read(path)) == 6
    assert task.notes == {"rows without a token, left out": 1}
    unmarked = {"sentences": ["A.", "B."], "labels": [0, 0]}
    path = write(tmp_path, "b.jsonl", lines(MARKED, unmarked, unmarked))
    task = job("summary", path)
    assert len(task.read(path)) == 1
    assert task.notes == {"texts without a sentence to keep, left out": 2}


def test_repaired_tags_are_counted_in_every_part(tmp_path: Path) -> None:
    broken = CONLL + "Bob\tI-PER\n\n"
    for name in ("train.conll", "dev.conll", "test.conll"):
        write(tmp_path, name, broken)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        '[model]\nname = "m"\ntask = "ner"\n[data]\ntags = "repair"\n'
        'train = "train.conll"\ndev = "dev.conll"\ntest = "test.conll"\n'
    )
    loaded = load_recipe(recipe, ())
    notes = read_examples(loaded, training_task(loaded)).notes
    assert notes["tags repaired"] == 3
    assert notes["twice in train"] == 5
    assert notes["test also in train"] == 7


def test_a_key_twice_in_a_json_object_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", lines(*LABELLED) + '{"text": "a", "label": "x", "text": "b"}\n')
    expected = r'a\.jsonl, line 9: not JSON: the key "text" stands there twice'
    refused(tmp_path, "classification", {"train": "a.jsonl"}, expected)


@pytest.mark.skipif(not FULL.is_char_device(), reason="there is no /dev/full")
def test_a_disk_that_fills_up_while_a_version_is_written_leaves_the_store_as_it_was(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path / "store")
    store.publish("m", build_version)
    recipe = Recipe.model_validate(
        {"model": {"name": "m", "task": "classification"}, "data": {"train": "a.csv"}}
    )

    def fill(folder: Path) -> Manifest:
        manifest = build_version(folder)
        FULL.write_text("the last byte")
        return manifest

    before = {path: path.stat().st_mtime_ns for path in (store.root / "m").rglob("*")}
    with pytest.raises(CheckpointError, match=r"disk is full.*store.*Nothing was published"):
        publish(
            store, recipe, fill, job=training_task(recipe), held_out=[], console=Console(quiet=True)
        )
    assert {path: path.stat().st_mtime_ns for path in (store.root / "m").rglob("*")} == before
    assert not list((store.root / ".publishing").glob("*"))
    assert [version.id for version in store.versions("m")] == ["m@1"]
