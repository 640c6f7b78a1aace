"""Where data come from: files of other encodings, Parquet, hub ids; and what is refused."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from contracts.errors import CheckpointError
from tests.train.runs import run, write_classification, write_recipe
from tests.train.test_data import job, write
from train.data.files import read_text
from train.examples import read_examples
from train.recipe import Recipe
from train.recipe_file import load_recipe
from train.tasks import training_task

HEAD = '[model]\nname = "m"\ntask = "classification"\nbase = "base"\n[data]\n'


def read(folder: Path, data: str, *overrides: str) -> Any:
    path = folder / "recipe.toml"
    path.write_text(HEAD + data)
    recipe = load_recipe(path, overrides)
    return read_examples(recipe, training_task(recipe))


def hub_folder(folder: Path) -> Path:
    """A dataset in the hub's layout: two splits, labels as numbers with names."""
    features = Features({"text": Value("string"), "label": ClassLabel(names=["no", "yes"])})
    for split, size in (("train", 20), ("test", 4)):
        rows = {
            "text": [f"{split} {i}" for i in range(size)],
            "label": [i % 2 for i in range(size)],
        }
        path = folder / "owner" / "name" / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        Dataset.from_dict(rows, features=features).to_parquet(str(path))
    return folder / "owner" / "name"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", folder)


def test_a_hub_dataset_is_read_by_split_with_its_label_names(tmp_path: Path) -> None:
    hub_folder(tmp_path)
    found = read(tmp_path, 'train = "hub:owner/name"\ntest = "hub:owner/name:test"\n')
    assert found.counts == {"train": 18, "dev": 2, "test": 4}
    assert {label for one in found.train for label in one.labels} == {"no", "yes"}
    assert found.test[1].labels == ("yes",)
    assert found.test[1].where.endswith("owner/name:test, row 2")


def test_the_split_of_a_hub_dataset_follows_from_its_part(tmp_path: Path) -> None:
    hub_folder(tmp_path)
    assert len(read(tmp_path, 'train = "hub:owner/name"\ntest = "hub:owner/name"\n').test) == 4
    assert len(read(tmp_path, 'train = "hub:owner/name:train[:10]"\n').train) == 9
    with pytest.raises(CheckpointError, match=r'"validation"|validation'):
        read(tmp_path, 'train = "hub:owner/name"\ndev = "hub:owner/name"\n')


def test_a_hub_dataset_keeps_its_id_in_the_recipe_hash_and_takes_no_file_hash(
    tmp_path: Path,
) -> None:
    recipe = {"model": {"name": "m", "task": "classification"}, "data": {"train": "hub:a/b:train"}}
    assert Recipe.model_validate(recipe).portable()["data"]["train"] == "hub:a/b:train"
    hub_folder(tmp_path)
    with pytest.raises(CheckpointError, match=r"sha256\.train.*data\.revision"):
        read(tmp_path, 'train = "hub:owner/name"\nsha256 = { train = "0" }\n')


def test_class_numbers_of_parquet_become_names_also_in_lists(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    features = Features(
        {"tokens": List(Value("string")), "ner_tags": List(ClassLabel(names=["O", "B-PER"]))}
    )
    rows = {"tokens": [["Ada", "ran"]], "ner_tags": [[1, 0]]}
    Dataset.from_dict(rows, features=features).to_parquet(str(path))
    (example,) = job("ner", path, label="ner_tags").read(path)
    assert example.spans == ((0, 3, "PER"),)
    assert example.where.endswith("a.parquet, row 1")


def test_squad_in_a_table_is_read_and_its_offsets_are_checked(tmp_path: Path) -> None:
    row = {
        "question": "Who?",
        "context": "Ada ran.",
        "answers": {"text": ["Ada"], "answer_start": [0]},
    }
    path = write(tmp_path, "a.jsonl", json.dumps(row))
    (example,) = job("qa", path).read(path)
    assert example.answers == ((0, "Ada"),)
    row["answers"] = {"text": ["Ada"], "answer_start": [4]}
    path = write(tmp_path, "a.jsonl", json.dumps(row))
    with pytest.raises(CheckpointError, match=r"a\.jsonl, line 1.*'ran', not|'ran'"):
        job("qa", path).read(path)


def test_a_broken_parquet_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a.parquet", b"PAR1 but no more")
    with pytest.raises(CheckpointError, match=r"a\.parquet cannot be read as Parquet"):
        job("classification", path).read(path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a\nb\nüber\n".encode("latin-1"), r"a\.csv, line 3: byte 0xfc is not UTF-8.*'ü'"),
        ("\ufeffa\nb\nü".encode() + b"\xff", r"a\.csv, line 3: byte 0xff"),
        ("text\n".encode("utf-16"), r"line 1: this is UTF-16"),
        ("text\n".encode("utf-16-be"), r"line 1: this is UTF-16"),
    ],
)
def test_another_encoding_is_refused_with_its_line(
    content: bytes, expected: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=expected):
        read_text(write(tmp_path, "a.csv", content))


@pytest.mark.parametrize("task", ["classification", "ner", "qa", "summary"])
def test_every_format_ignores_a_byte_order_mark_and_refuses_latin_1(
    task: str, tmp_path: Path
) -> None:
    row = {"document": "Ä went. B ran.", "summary": "Ä went."}
    squad = [{"context": "Ä went.", "qas": [{"question": "q", "is_impossible": True}]}]
    name, text = {
        "classification": ("a.csv", "text,label\nÄ,x\n"),
        "ner": ("a.conll", "Ä\tB-PER\n"),
        "qa": ("a.json", json.dumps({"data": [{"paragraphs": squad}]}, ensure_ascii=False)),
        "summary": ("a.jsonl", json.dumps(row, ensure_ascii=False)),
    }[task]
    path = write(tmp_path, name, "\ufeff" + text)
    assert "Ä" in job(task, path).text_of(job(task, path).read(path)[0])
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match=r"line \d+: byte 0xc4"):
        job(task, path).read(path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('text,label\n"a\nb",x\nc\n', r"line 4: 1 fields where 2"),
        ('text,label\na,x\n"b,x\nc,x\nd,x\n', r"line 3: unexpected end of data"),
        ("text,label,text\na,x,b\n", r'line 1: there are two columns "text"'),
        ("text,label\n\u200b,x\n", r'line 2: column "text" must be text that is not empty'),
    ],
)
def test_broken_csv_is_refused_at_the_line_where_its_row_begins(
    content: str, expected: str, tmp_path: Path
) -> None:
    path = write(tmp_path, "a.csv", content)
    with pytest.raises(CheckpointError, match=expected):
        job("classification", path).read(path)


def test_a_wrong_answer_names_the_line_of_its_question(tmp_path: Path) -> None:
    qas = [
        {"question": "Who?", "answers": [{"text": "Ada", "answer_start": start}]}
        for start in (0, 1)
    ]
    content = {"data": [{"paragraphs": [{"context": "Ada ran.", "qas": qas}]}]}
    path = write(tmp_path, "a.json", json.dumps(content, indent=1))
    lines = path.read_text().splitlines()
    line = [number for number, line in enumerate(lines, 1) if '"question"' in line][1]
    with pytest.raises(CheckpointError, match=rf"a\.json, line {line}, data\[0\].*qas\[1\]"):
        job("qa", path).read(path)


def test_numbers_of_labels_become_names(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", "a\t0,2\nb\t1\n")
    settings = {"columns": ["text", "label"], "label_separator": ","}
    task = job("classification", path, label_names=["joy", "fear", "love"], **settings)
    assert [one.labels for one in task.read(path)] == [("joy", "love"), ("fear",)]
    with pytest.raises(CheckpointError, match=r"line 1: label '2'.*from 0 to 1"):
        job("classification", path, label_names=["joy", "fear"], **settings).read(path)


def test_another_file_than_the_recipe_names_is_refused(tmp_path: Path) -> None:
    path = tmp_path / write_classification(tmp_path)
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    data = f'train = "train.csv"\nsha256 = {{ train = "{right}" }}\n'
    assert read(tmp_path, data).train
    path.write_text(path.read_text() + "\nmore,money")
    with pytest.raises(CheckpointError, match=rf"train\.csv is not the file.*says {right}"):
        read(tmp_path, data)


def test_a_missing_file_of_public_data_says_where_it_comes_from(tmp_path: Path) -> None:
    data = 'train = "a/train.csv"\nsource = "example.org/a"\n'
    with pytest.raises(CheckpointError, match=r"get it from example\.org/a.*--set data\.dir"):
        read(tmp_path, data)


def test_a_folder_on_the_command_line_is_relative_to_where_it_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / "files").mkdir(parents=True)
    (tmp_path / "recipes").mkdir()
    write_classification(tmp_path / "here" / "files")
    monkeypatch.chdir(tmp_path / "here")
    assert read(tmp_path / "recipes", 'train = "train.csv"\n', "data.dir=files").train


def test_texts_in_two_parts_and_rare_labels_are_counted_and_told(tmp_path: Path) -> None:
    write_classification(tmp_path)
    lines = (tmp_path / "train.csv").read_text().splitlines()
    (tmp_path / "train.csv").write_text("\n".join([*lines, lines[1], "rare one,complaint"]))
    (tmp_path / "test.csv").write_text("\n".join([lines[0], *lines[2:5], "new,money"]))
    found = read(tmp_path, 'train = "train.csv"\ntest = "test.csv"\n')
    assert found.notes["labels with one training example"] == 1
    assert found.notes.get("test also in train", 0) + found.notes.get("test also in dev", 0) == 3
    assert found.notes.get("twice in train", 0) + found.notes.get("dev also in train", 0) == 1


def test_the_report_has_the_counts_and_a_bad_row_publishes_nothing(tmp_path: Path) -> None:
    name = write_classification(tmp_path)
    (tmp_path / "test.csv").write_text('text,label\n"please, my refund number 0",money\n')
    recipe = write_recipe(tmp_path, "classification", name, 'test = "test.csv"', epochs=1)
    fast = ("artifacts.onnx_fp32=false", "artifacts.onnx_int8=false")
    version = run(recipe, tmp_path / "store", *fast)
    notes = json.loads((version.folder / "report.json").read_text())["data"]["notes"]
    assert sum(notes.values()) == 1
    assert "test also in" in (version.folder / "report.md").read_text()
    (tmp_path / "test.csv").write_text("text,label\nrefund,monye\n")
    with pytest.raises(CheckpointError, match=r'line 2: unknown label "monye".*"money"'):
        run(recipe, tmp_path / "store", *fast)
    assert [path.name for path in (tmp_path / "store" / "tiny").iterdir() if path.is_dir()] == ["1"]
