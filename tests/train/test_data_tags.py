"""Tags of every scheme become the same entities, and broken ones are told or repaired."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import CheckpointError
from tests.train.test_data import job, write
from train.data.tags import find_scheme, read_entities

ENTITIES = [(0, 2, "PER"), (3, 4, "LOC"), (4, 5, "LOC")]
WRITTEN: dict[str, list[str]] = {
    "iob1": ["I-PER", "I-PER", "O", "I-LOC", "B-LOC"],
    "bio": ["B-PER", "I-PER", "O", "B-LOC", "B-LOC"],
    "bioes": ["B-PER", "E-PER", "O", "S-LOC", "S-LOC"],
}


@pytest.mark.parametrize("scheme", WRITTEN)
def test_a_scheme_is_found_and_read(scheme: Any) -> None:
    assert find_scheme([WRITTEN[scheme]]) == scheme
    assert read_entities(WRITTEN[scheme], scheme) == (ENTITIES, [])


@pytest.mark.parametrize("letters", ["BILU", "BMES", "BMEW"])
def test_other_letters_of_bioes_are_read_too(letters: str) -> None:
    tags = [
        tag[0].translate(str.maketrans("BIES", letters)) + tag[1:]
        for tag in ["B-PER", "E-PER", "O", "S-LOC", "S-LOC"]
    ]
    assert find_scheme([tags]) == "bioes"
    assert read_entities(tags, "bioes") == (ENTITIES, [])


def test_bare_types_are_entities_as_they_stand() -> None:
    tags = ["PER", "PER", "O", "T-cell"]
    assert find_scheme([tags]) == "io"
    assert read_entities(tags, "io")[0] == [(0, 2, "PER"), (3, 4, "T-cell")]


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("io", ["PER1", "PER1", "PER2", "O"]),
        ("bio", ["B-PER1", "I-PER1", "B-PER2", "O"]),
        ("bio", ["B-PER-1", "I-PER-1", "B-PER_12", "O"]),
    ],
)
def test_trailing_digits_number_the_entities(scheme: Any, tags: list[str]) -> None:
    assert read_entities(tags, scheme, drop_digits=True) == ([(0, 2, "PER"), (2, 3, "PER")], [])
    assert read_entities(["B-covid19"], "bio")[0] == [(0, 1, "covid19")]


@pytest.mark.parametrize(
    ("scheme", "tags", "where", "repaired"),
    [
        ("bio", ["O", "I-PER"], [1], [(1, 2, "PER")]),
        ("bio", ["B-PER", "I-LOC"], [1], [(0, 1, "PER"), (1, 2, "LOC")]),
        ("iob1", ["O", "B-PER"], [1], [(1, 2, "PER")]),
        ("bioes", ["B-PER", "O"], [0], [(0, 1, "PER")]),
        ("bioes", ["O", "B-PER"], [1], [(1, 2, "PER")]),
        ("bioes", ["S-PER", "E-PER"], [1], [(0, 1, "PER"), (1, 2, "PER")]),
    ],
)
def test_a_violation_has_its_place_and_is_read_as_conlleval_does(
    scheme: Any, tags: list[str], where: list[int], repaired: list[Any]
) -> None:
    entities, violations = read_entities(tags, scheme)
    assert [one.index for one in violations] == where
    assert entities == repaired


@given(
    st.lists(st.sampled_from(["O", *(f"{p}-{kind}" for p in "BIES" for kind in "XY")]), min_size=1)
)
def test_every_tagged_token_is_in_exactly_one_entity_whatever_the_tags(tags: list[str]) -> None:
    entities, _ = read_entities(tags, "bioes")
    covered = [index for first, after, _ in entities for index in range(first, after)]
    assert covered == [index for index, tag in enumerate(tags) if tag != "O"]


def test_strict_refuses_with_line_and_count_and_repair_counts_for_the_data_card(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, "a.conll", "# doc\nAda\tB-PER\nran\tO\n\nto\tO\nRome\tI-LOC\nx\tI-PER\n")
    with pytest.raises(CheckpointError, match=r'a\.conll, line 6: "I-LOC" follows "O".*2 such'):
        job("ner", path).read(path)
    task = job("ner", path, tags="repair")
    assert [example.spans for example in task.read(path)] == [
        ((0, 3, "PER"),),
        ((3, 7, "LOC"), (8, 9, "PER")),
    ]
    assert task.notes == {"tags repaired": 2}


@pytest.mark.parametrize("tag", ["0", "PER", "X-PER", "B_PER"])
def test_a_tag_of_no_scheme_is_refused_with_its_line(tag: str, tmp_path: Path) -> None:
    path = write(tmp_path, "a.conll", f"Ada\tB-PER\nran\t{tag}\n")
    with pytest.raises(CheckpointError, match=rf'line 2: "{tag}" is no tag of the scheme bio'):
        job("ner", path, tags="repair").read(path)


def test_the_recipe_may_name_the_scheme(tmp_path: Path) -> None:
    path = write(tmp_path, "a.conll", "Ada\tI-PER\nran\tO\n")
    assert job("ner", path).read(path)[0].spans == ((0, 3, "PER"),)
    with pytest.raises(CheckpointError, match="line 1"):
        job("ner", path, tag_scheme="bio").read(path)
