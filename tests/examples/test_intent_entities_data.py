"""The example data keep their promises: reproducible, consistent, and a test set of its own."""

import csv
import importlib.util
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
TYPES = {"PERSON", "ORG", "PLACE", "DATE", "PRODUCT"}


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"write_{name}", EXAMPLES / name / "write.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def entities() -> ModuleType:
    return script("entities")


def intent_rows(split: str) -> list[tuple[str, str]]:
    with (EXAMPLES / "intent" / f"{split}.csv").open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold().replace("'", ""))


@pytest.mark.parametrize(("name", "file"), [("intent", "train.csv"), ("entities", "train.conll")])
def test_write_reproduces_the_training_file_byte_for_byte(
    name: str, file: str, tmp_path: Path
) -> None:
    script(name).write(tmp_path / file)
    assert (tmp_path / file).read_bytes() == (EXAMPLES / name / file).read_bytes()


def test_intent_splits_have_the_same_labels_and_enough_rows_of_each() -> None:
    train, test = (
        Counter(y for _, y in intent_rows("train")),
        Counter(y for _, y in intent_rows("test")),
    )
    assert train.keys() == test.keys()
    assert {path.stem for path in (EXAMPLES / "intent" / "seeds").glob("*.txt")} == train.keys()
    assert sum(test.values()) >= 300
    assert min(test.values()) >= 10
    assert min(train.values()) >= 100


def test_intent_texts_are_clean_and_no_training_text_has_two_labels() -> None:
    train = intent_rows("train")
    labels = {" ".join(words(text)) or text: label for text, label in train}
    assert len(labels) == len(train)
    for text, _ in [*train, *intent_rows("test")]:
        assert text == text.strip()
        assert text
        assert not re.search(r"[({}|]", text.replace(":(", ""))


def test_intent_test_shares_no_sentence_and_no_template_with_training() -> None:
    """No test sentence is a training sentence in other words' order, or with a slot changed."""
    train = [frozenset(words(text)) for text, _ in intent_rows("train")]
    for text, _ in intent_rows("test"):
        mine = frozenset(words(text))
        if len(mine) < 4:
            assert mine not in train, text
            continue
        nearest = max(train, key=lambda other: len(mine & other) / len(mine | other))
        assert len(mine & nearest) / len(mine | nearest) < 0.75, (text, sorted(nearest))


def masked(sentence: list[tuple[str, str]]) -> str:
    """The template of a tagged sentence: every entity is its type."""
    parts = [
        tag[2:] if tag.startswith("B-") else token.casefold()
        for token, tag in sentence
        if not tag.startswith("I-") and (token.isalnum() or tag != "O")
    ]
    return " ".join(parts)


def spans(sentence: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    span: list[str] = []
    kind = ""
    for token, tag in [*sentence, ("", "O")]:
        if span and not tag.startswith("I-"):
            yield kind, " ".join(span)
            span = []
        if tag != "O":
            kind = tag[2:]
            span.append(token.casefold())


@pytest.mark.parametrize("split", ["train", "test"])
def test_entity_tags_are_valid_bio_and_tokens_are_split_as_bert_splits(
    split: str, entities: ModuleType
) -> None:
    sentences = entities.read(EXAMPLES / "entities" / f"{split}.conll")
    assert len(sentences) >= (250 if split == "test" else 3000)
    kinds: Counter[str] = Counter()
    for sentence in sentences:
        before = "O"
        for token, tag in sentence:
            assert re.fullmatch(r"[^\W_]+|[^\w\s]|_", token), token
            if tag.startswith("I-"):
                assert before[2:] == tag[2:], sentence
            else:
                assert tag == "O" or tag.startswith("B-")
            before = tag
        kinds.update(kind for kind, _ in spans(sentence))
    assert kinds.keys() == TYPES
    assert min(kinds.values()) >= 30
    assert any(all(tag == "O" for _, tag in sentence) for sentence in sentences)


def test_entity_test_shares_no_value_and_no_template_with_training(
    entities: ModuleType,
) -> None:
    train = entities.read(EXAMPLES / "entities" / "train.conll")
    test = entities.read(EXAMPLES / "entities" / "test.conll")
    trained = {span for sentence in train for span in spans(sentence)}
    names = {part for kind, value in trained if kind == "PERSON" for part in value.split()}
    for kind, value in {span for sentence in test for span in spans(sentence)}:
        assert (kind, value) not in trained
        if kind == "PERSON":
            assert not {part for part in value.split() if len(part) > 2} & names, value
    assert not {masked(sentence) for sentence in test} & {masked(sentence) for sentence in train}
