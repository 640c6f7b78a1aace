"""Right answers pass; each way of being wrong is told."""

from typing import Any

import pytest

from loadtests.shapes import wrong_answer, wrong_classes, wrong_entities

TEXT = "Ingrid lives in Bergen."
LABELS = [{"label": "a", "score": 0.75}, {"label": "b", "score": 0.25}]
PERSON = {"entity_group": "PERSON", "score": 0.9, "word": "Ingrid", "start": 0, "end": 6}
ANSWER = {"answer": "Bergen", "score": 0.5, "start": 16, "end": 22}


def test_right_answers_have_nothing_wrong() -> None:
    assert wrong_classes([LABELS], [TEXT]) is None
    assert wrong_classes([LABELS] * 3, [TEXT] * 3) is None
    assert wrong_entities([], TEXT) is None
    assert wrong_entities([PERSON], TEXT) is None
    assert wrong_answer(ANSWER, TEXT) is None
    assert wrong_answer({"answer": "", "score": 0.1, "start": 0, "end": 0}, TEXT) is None


@pytest.mark.parametrize(
    "answer",
    [
        LABELS,  # not nested
        [LABELS, LABELS],  # one list too many
        [[]],
        [LABELS[::-1]],
        [[{"label": "a", "score": 1.5}]],
        [[{"label": "a", "score": float("nan")}]],
        [[{"score": 0.5}]],
        {"error": "no"},
        None,
    ],
)
def test_wrong_classes_are_told(answer: Any) -> None:
    assert wrong_classes(answer, [TEXT])


@pytest.mark.parametrize(
    "answer",
    [
        [{**PERSON, "start": 1}],
        [{**PERSON, "end": 600}],
        [{**PERSON, "start": -23, "end": -17}],
        [{**PERSON, "word": "ingrid"}],
        [{**PERSON, "score": None}],
        [{key: value for key, value in PERSON.items() if key != "entity_group"}],
        {"entities": []},
        [[PERSON]],
    ],
)
def test_wrong_entities_are_told(answer: Any) -> None:
    assert wrong_entities(answer, TEXT)


@pytest.mark.parametrize(
    "answer",
    [
        [ANSWER],
        {**ANSWER, "start": 15},
        {**ANSWER, "score": -0.1},
        {**ANSWER, "answer": "Oslo"},
        {"answer": "Bergen"},
    ],
)
def test_wrong_answers_are_told(answer: Any) -> None:
    assert wrong_answer(answer, TEXT)
