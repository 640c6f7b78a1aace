"""The data of `qa` and `summary` is reproducible, well-formed, and tested on other material."""

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

# Answers that many texts share without knowing each other: amounts, dates, and words around them.
_TRIVIAL = """a about adults after an and april at august autumn before behind between by cash card
    colour
    day days december degrees dogs early euros every february feet first for free friday from front
    g garden grams green half his her hour hours i in inside into is it january july june kcal kg
    kitchen km later less march may metres minutes monday month months more morning most my no none
    not november october of on one or out over past people per percent pounds quarter saturday
    september spring station summer sunday than the their three thursday to tuesday twice two under
    until up wednesday week weeks winter with within year years four five six seven eight nine ten
    eleven twelve cm dollars thursdays dr st i'm lane mill christmas hill sun
    sundays mondays wednesdays fridays mr"""
TRIVIAL = frozenset(_TRIVIAL.split())


def words(text: str) -> list[str]:
    return re.findall(r"\w+(?:'\w+)?", text.lower())


def squad(name: str) -> list[tuple[str, dict[str, Any]]]:
    document = json.loads((EXAMPLES / "qa" / name).read_text(encoding="utf-8"))
    assert set(document) == {"version", "data"}
    return [
        (paragraph["context"], qa)
        for page in document["data"]
        for paragraph in page["paragraphs"]
        for qa in paragraph["qas"]
    ]


def articles(name: str) -> list[dict[str, list[Any]]]:
    lines = (EXAMPLES / "summary" / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def shingles(texts: list[str], size: int) -> set[tuple[str, ...]]:
    """Runs of ``size`` words, numbers masked: what two uses of one template have in common.

    Runs that are mostly numbers ("between 9.30 and 17.15") say nothing and are left out.
    """
    found: set[tuple[str, ...]] = set()
    for text in texts:
        tokens = ["#" if re.search(r"\d", word) else word for word in words(text)]
        found.update(tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1))
    return {run for run in found if run.count("#") <= 2}


def names(texts: list[str]) -> set[str]:
    """Capitalised words inside sentences: products, people, places, firms."""
    return {
        word.lower().removesuffix("'s")
        for text in texts
        for word in re.findall(r"(?<=[a-z,;] )[A-ZÀ-Þ][\w'-]+", text)
    }


@pytest.mark.parametrize(("folder", "file"), [("qa", "train.json"), ("summary", "train.jsonl")])
def test_write_reproduces_the_training_file(folder: str, file: str) -> None:
    module = runpy.run_path(str(EXAMPLES / folder / "write.py"))
    assert module["render"]() == (EXAMPLES / folder / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["train.json", "test.json"])
def test_answers_are_slices_of_their_context(name: str) -> None:
    pairs = squad(name)
    assert len({qa["id"] for _, qa in pairs}) == len(pairs)
    for context, qa in pairs:
        assert qa["question"].strip()
        assert qa["is_impossible"] == (not qa["answers"])
        for answer in qa["answers"]:
            start = answer["answer_start"]
            assert context[start : start + len(answer["text"])] == answer["text"] != ""


@pytest.mark.parametrize("name", ["train.jsonl", "test.jsonl"])
def test_every_sentence_has_a_label_and_some_matter(name: str) -> None:
    for article in articles(name):
        assert len(article["sentences"]) == len(article["labels"])
        assert set(article["labels"]) == {0, 1}
        assert all(sentence.strip() for sentence in article["sentences"])
        assert 1 <= sum(article["labels"]) <= 4
        assert 6 <= len(article["labels"]) <= 20


def test_sizes_and_shares() -> None:
    train, test = squad("train.json"), squad("test.json")
    assert len(train) > 5000
    assert 0.1 < sum(qa["is_impossible"] for _, qa in train) / len(train) < 0.2
    assert len(test) >= 150
    assert len({context for context, _ in test}) >= 40
    assert len(articles("test.jsonl")) >= 60
    lead = [article["labels"][0] for article in articles("train.jsonl")]
    assert sum(lead) / len(lead) < 0.6


def test_no_pattern_leaks_into_the_training_text() -> None:
    texts = [text for context, qa in squad("train.json") for text in (context, qa["question"])]
    texts += [sentence for article in articles("train.jsonl") for sentence in article["sentences"]]
    assert not [text for text in texts if re.search(r"[{}|\[\]]", text)]


def test_qa_test_set_shares_no_template_with_training() -> None:
    train, test = squad("train.json"), squad("test.json")
    contexts = [context for context, _ in test]
    common = shingles([c for c, _ in train], 6) & shingles(contexts, 6)
    assert not common
    asked = {" ".join(words(qa["question"])) for _, qa in train}
    same = [qa["question"] for _, qa in test if " ".join(words(qa["question"])) in asked]
    assert len(same) <= 0.08 * len(test), same  # "What is my name?" has no other wording


def test_qa_test_set_shares_no_value_with_training() -> None:
    train, test = squad("train.json"), squad("test.json")
    common = names([c for c, _ in train]) & names([c for c, _ in test])
    assert not common - TRIVIAL
    known = {answer["text"].lower() for _, qa in train for answer in qa["answers"]}
    told = {answer["text"].lower() for _, qa in test for answer in qa["answers"]}
    shared = {text for text in told & known if not set(words(text)) <= TRIVIAL}
    assert not {text for text in shared if not re.fullmatch(r"[\d.,:/-]+( \w+)?", text)}


def test_summary_test_set_shares_no_template_or_name_with_training() -> None:
    train = [s for article in articles("train.jsonl") for s in article["sentences"]]
    test = [s for article in articles("test.jsonl") for s in article["sentences"]]
    assert not shingles(train, 6) & shingles(test, 6)
    assert not (names(train) & names(test)) - TRIVIAL
