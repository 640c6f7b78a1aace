"""Texts have the lengths that are told, and are the same at every run."""

import json
import statistics
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from benchmarks.texts import (
    MIXED,
    SETS,
    SHORT,
    documents,
    text_set,
    token_counts,
    whole_words,
    write_bodies,
)
from tests.models import tiny_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("tokenizer")
    tiny_tokenizer(home, "bert")
    return home


def test_short_texts_are_spread_evenly_from_6_to_24_tokens() -> None:
    counts = token_counts(SHORT)
    assert (min(counts), max(counts)) == (6, 24)
    assert max(counts.count(n) for n in range(6, 25)) - min(map(counts.count, range(6, 25))) <= 1


def test_mixed_texts_have_the_median_and_mean_that_are_told() -> None:
    counts = token_counts(MIXED)
    assert statistics.median(counts) == pytest.approx(42, abs=1)
    assert statistics.mean(counts) == pytest.approx(60, abs=1)
    assert (min(counts), max(counts)) == (8, 397)


def test_an_unknown_set_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'long'"):
        token_counts("long")


@pytest.mark.parametrize("name", SETS)
def test_each_text_has_exactly_its_tokens(folder: Path, name: str) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    texts = text_set(name, whole_words(folder), count=50)
    found = [len(tokenizer.encode(text).ids) for text in texts]
    assert found == token_counts(name, 50)


def test_texts_are_the_same_at_every_run_and_others_with_another_seed(folder: Path) -> None:
    words = whole_words(folder)
    assert text_set(SHORT, words, 20) == text_set(SHORT, words, 20)
    assert text_set(SHORT, words, 20) != text_set(SHORT, words, 20, seed=1)


def test_no_text_is_longer_than_a_model_takes(folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    texts = text_set(MIXED, whole_words(folder), most=64)
    assert max(len(tokenizer.encode(text).ids) for text in texts) == 64


def test_documents_are_different_and_of_one_length(folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    texts = documents(200, 4, whole_words(folder))
    assert len(set(texts)) == 4
    found = [len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts]
    assert found == [200] * 4


def test_bodies_are_one_json_document_per_line(tmp_path: Path) -> None:
    lines = write_bodies(['say "hi"', "zwei"], tmp_path / "bodies").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"inputs": 'say "hi"'}, {"inputs": "zwei"}]


def test_bodies_may_go_to_several_paths_in_turn(tmp_path: Path) -> None:
    path = write_bodies(["a", "b", "c"], tmp_path / "bodies", {"top_k": 1}, asked=["/x", "/y"])
    found = [line.split("\t") for line in path.read_text().splitlines()]
    assert [to for to, _ in found] == ["/x", "/y", "/x"]
    assert json.loads(found[1][1]) == {"inputs": "b", "parameters": {"top_k": 1}}
