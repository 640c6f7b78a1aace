import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import CheckpointError
from train.data.conll import read_conll
from train.data.oracle import oracle
from train.data.split import split_dev
from train.data.squad import read_squad
from train.data.tables import read_table
from train.recipe import Data, Recipe
from train.scores import rouge_n, words
from train.tasks import training_task
from train.tasks.classification import LabelledText
from train.tasks.ner import LabelledSpans
from train.tasks.summary import MarkedText


def job(task: str, path: Path, **data: Any) -> Any:
    recipe = {"model": {"name": "m", "task": task}, "data": {"train": path, **data}}
    return training_task(Recipe.model_validate(recipe))


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_csv_keeps_quoted_commas_and_line_breaks(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'text,label\n"a, b\nc",x\nd,y\n')
    rows = list(read_table(path, Data(train=path)))
    assert [row.values["text"] for row in rows] == ["a, b\nc", "d"]
    assert [row.line for row in rows] == [2, 4]


def test_tsv_without_a_header_takes_names_from_the_recipe(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", 'he said "hi\tjoy,love\tid1\n')
    (example,) = job(
        "classification", path, columns=["text", "label", "id"], label_separator=","
    ).read(path)
    assert example.text == 'he said "hi'
    assert example.labels == ("joy", "love")


def test_parquet_is_read_through_datasets(tmp_path: Path) -> None:
    from datasets import Dataset

    path = tmp_path / "a.parquet"
    Dataset.from_dict({"text": ["a", "b"], "label": ["x", "y"]}).to_parquet(str(path))
    assert [row.values["label"] for row in read_table(path, Data(train=path))] == ["x", "y"]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", "text,label\na,x\nb\n", r"a\.csv, line 3: 1 fields where 2 were expected"),
        ("a.csv", "txt,label\na,x\n", r'line 2: there is no column "text"; did you mean "txt"'),
        ("a.csv", "text,label\n ,x\n", r'line 2: column "text" must be text that is not empty'),
        ("a.csv", "text,label\na,\n", r'line 2: column "label" is empty'),
        ("a.csv", b"text,label\na,x\ncaf\xe9,y\n", r"byte 0xe9 is not UTF-8"),
        ("a.csv", "text,label\n", r"holds no examples"),
        ("a.jsonl", '{"text": "a", "label": "x"}\n{"text"\n', r"line 2: not JSON"),
        ("a.jsonl", "[1]\n", r"line 1: a JSON object is expected, not list"),
        ("a.txt", "a", r"set data\.format"),
    ],
)
def test_bad_tables_are_refused_with_file_and_line(
    name: str, content: str | bytes, expected: str, tmp_path: Path
) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(CheckpointError, match=expected):
        job("classification", path).read(path)


def test_label_lists_make_a_multi_label_model_and_numbers_a_regression(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"text": "a", "label": ["y", "x"]}\n')
    multi = job("classification", path)
    multi.learn_labels(multi.read(path))
    assert multi.config["problem_type"] == "multi_label_classification"
    assert multi.labels == ["x", "y"]
    path = write(tmp_path, "b.csv", "text,label\na,0.5\nb,much\n")
    recipe = {"model": {"name": "m", "task": "classification", "problem_type": "regression"}}
    number = training_task(Recipe.model_validate({**recipe, "data": {"train": path}}))
    with pytest.raises(CheckpointError, match="line 3"):
        number.read(path)


def test_unknown_labels_of_another_part_name_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label\na,refund\nb,order\n")
    task = job("classification", path)
    task.learn_labels(task.read(path))
    stranger = [LabelledText("test.csv, line 9", "a", None, ("refnud",))]
    with pytest.raises(CheckpointError, match=r'line 9: unknown label "refnud".*"refund"'):
        task.check(stranger)


@pytest.mark.parametrize(
    "tags",
    [
        ["B-PER", "I-PER", "O", "B-LOC", "B-LOC"],
        ["B-PER", "E-PER", "O", "S-LOC", "S-LOC"],
    ],
)
def test_tags_of_any_scheme_become_the_same_spans(tags: list[str], tmp_path: Path) -> None:
    tokens = ["Angela", "Merkel", "saw", "Paris", "Berlin"]
    lines = "".join(f"{token}\t{tag}\n" for token, tag in zip(tokens, tags, strict=True))
    path = write(tmp_path, "a.conll", lines + "\n")
    (example,) = job("ner", path).read(path)
    assert example.text == "Angela Merkel saw Paris Berlin"
    assert [(example.text[a:b], kind) for a, b, kind in example.spans] == [
        ("Angela Merkel", "PER"),
        ("Paris", "LOC"),
        ("Berlin", "LOC"),
    ]


def test_conll_errors_name_file_and_line(tmp_path: Path) -> None:
    path = write(tmp_path, "a.conll", "Paris\tB-LOC\nalone\n")
    with pytest.raises(CheckpointError, match=r"a\.conll, line 2"):
        list(read_conll(path))
    path = write(tmp_path, "b.conll", b"Z\xfcrich\tB-LOC\n")
    with pytest.raises(CheckpointError, match="UTF-8"):
        list(read_conll(path))


def test_unknown_entity_types_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a.conll", "Paris\tB-LOC\n")
    task = job("ner", path)
    task.learn_labels(task.read(path))
    assert task.labels == ["O", "B-LOC", "I-LOC"]
    with pytest.raises(CheckpointError, match='unknown entity type "PER"'):
        task.check([LabelledSpans("dev, line 1", "Angela", ((0, 6, "PER"),))])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"answer_start": 3}, r"answers\[0\]: the context has 'la'"),
        ({"text": "Rome"}, r"not 'Rome'"),
        ({"answer_start": "0"}, r'"answer_start" must be there and be a int'),
    ],
)
def test_answers_that_do_not_match_their_offset_are_refused(
    change: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    answer = {"text": "Angela", "answer_start": 0, **change}
    if change == {"answer_start": 3}:
        answer["text"] = "An"
    qas = [{"id": "1", "question": "Who?", "answers": [answer]}]
    content = {"data": [{"paragraphs": [{"context": "Angela was here.", "qas": qas}]}]}
    path = write(tmp_path, "a.json", json.dumps(content).replace('"An"', '"xx"'))
    if change == {"answer_start": 3}:
        expected = "the context has"
    with pytest.raises(CheckpointError, match=expected):
        list(read_squad(path))


def test_squad_one_and_two_are_read(tmp_path: Path) -> None:
    qas = [
        {"question": "Who?", "answers": [{"text": "Angela", "answer_start": 0}]},
        {"question": "When?", "answers": [], "is_impossible": True},
    ]
    content = {"data": [{"paragraphs": [{"context": "Angela was here.", "qas": qas}]}]}
    path = write(tmp_path, "a.json", json.dumps(content))
    task = job("qa", path)
    examples = task.read(path)
    task.learn_labels(examples)
    assert [example.answers for example in examples] == [((0, "Angela"),), ()]
    assert task.impossible
    del qas[1]["is_impossible"]
    with pytest.raises(CheckpointError, match=r"qas\[1\]: no answer"):
        list(read_squad(write(tmp_path, "b.json", json.dumps(content))))


def test_summaries_are_read_from_marks_and_from_what_a_person_wrote(tmp_path: Path) -> None:
    rows = [
        {"sentences": ["The shop is open.", "", "Refunds take a week."], "labels": [0, 0, 1]},
        {
            "document": "The shop is open. Refunds take a week. It rains.",
            "summary": "Refunds take one week.",
        },
    ]
    path = write(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)))
    for example in job("summary", path).read(path):
        assert [example.sentences[i] for i in example.marked] == ["Refunds take a week."]


def test_scitldr_columns_are_named_in_the_recipe(tmp_path: Path) -> None:
    row = {"source": ["We train nets.", "It is fun."], "target": ["Nets are trained.", "Other."]}
    path = write(tmp_path, "a.jsonl", json.dumps(row))
    (example,) = job("summary", path, sentences="source", summary="target").read(path)
    assert isinstance(example, MarkedText)
    assert example.marked == {0}
    assert example.reference == "Nets are trained."


@pytest.mark.parametrize("labels", [[1], [0, 2], "01"])
def test_marks_must_fit_the_sentences(labels: Any, tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", json.dumps({"sentences": ["A.", "B."], "labels": labels}))
    with pytest.raises(CheckpointError, match="line 1"):
        job("summary", path).read(path)


def test_the_oracle_takes_what_raises_rouge_and_no_more() -> None:
    sentences = ["The cat sat.", "Dogs bark at night.", "The moon is bright.", "Dogs bark."]
    assert oracle(sentences, "The cat sat while dogs bark at night.") == [0, 1]
    assert oracle(sentences, "zebra") == []
    assert oracle(sentences, "The cat sat. Dogs bark at night.", limit=1) == [1]


@given(
    labels=st.lists(st.sampled_from("abcdefg"), min_size=2, max_size=200),
    share=st.floats(0.05, 0.5),
    seed=st.integers(0, 9),
)
def test_the_split_is_seeded_stratified_and_loses_nothing(
    labels: list[str], share: float, seed: int
) -> None:
    examples = list(enumerate(labels))
    train, dev = split_dev(examples, share, seed, lambda one: one[1])
    assert split_dev(examples, share, seed, lambda one: one[1]) == (train, dev)
    assert sorted(train + dev) == examples
    assert train
    assert dev
    for label in set(labels):
        mine = sum(one == label for one in labels)
        held = sum(one == label for _, one in dev)
        assert held < mine or len(examples) == len(set(labels))
        assert abs(held - mine * share) <= 1.5


def test_another_seed_gives_another_split() -> None:
    examples = list(range(100))
    assert split_dev(examples, 0.2, 1, lambda _: 0) != split_dev(examples, 0.2, 2, lambda _: 0)


def test_the_oracle_scores_as_rouge_does(tmp_path: Path) -> None:
    sentences = ["a b a c", "a b", "c d e", "b a b a"]
    summary = "a b a b c d"
    best = max(
        range(4),
        key=lambda index: sum(rouge_n(words(summary), words(sentences[index]), n) for n in (1, 2)),
    )
    assert oracle(sentences, summary, limit=1) == [best]


def test_the_nearest_of_several_summaries_counts_and_the_recipe_sets_the_size(
    tmp_path: Path,
) -> None:
    row = {
        "sentences": ["Nets learn.", "It rains.", "Dogs bark."],
        "summary": ["Nets.", "It rains."],
    }
    path = write(tmp_path, "a.jsonl", json.dumps(row))
    recipe = {
        "model": {"name": "m", "task": "summary"},
        "data": {"train": path},
        "publish": {"generation_defaults": {"max_sentences": 2}},
    }
    task = training_task(Recipe.model_validate(recipe))
    examples = task.read(path)
    assert task.score(examples, [{"summary_text": "It rains."}])["rouge1"] == 1.0
    assert [item.parameters.max_sentences for item in task.items(examples)] == [2]
    answers = task.baselines(examples, examples)
    assert answers["lead"] == [{"summary_text": "Nets learn. It rains."}]
    (random,) = answers["random"]
    assert sum(one in random["summary_text"] for one in row["sentences"]) == 2
