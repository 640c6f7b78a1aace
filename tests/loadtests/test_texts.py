"""Texts are varied, the same in every run, and no model has seen them."""

import random
import re

from loadtests import texts
from tests.deploy.dockerfile import ROOT

TELLING_WORDS = 7
"""A shorter part of a text ("would buy again") is anybody's."""


def test_the_same_dice_give_the_same_turns() -> None:
    first, second = random.Random("one"), random.Random("one")
    assert [texts.turn(first) for _ in range(50)] == [texts.turn(second) for _ in range(50)]


def test_turns_hardly_repeat_and_differ_in_length() -> None:
    dice = random.Random(1)
    messages = [texts.turn(dice).message for _ in range(1000)]
    lengths = [len(message.split()) for message in messages]
    assert len(set(messages)) > 900
    assert min(lengths) < 8
    assert max(lengths) > 30
    assert not any("{" in message for message in messages)


def test_a_burst_has_as_many_short_texts_as_asked() -> None:
    burst = texts.reviews(random.Random(1), 200)
    assert len(burst) == 200
    assert len(set(burst)) > 150
    assert all(3 <= len(text.split()) <= 15 for text in burst)


def test_every_question_belongs_to_a_policy() -> None:
    assert {page for _, page in texts.QUESTIONS} == set(range(len(texts.POLICIES)))


def test_no_text_is_in_a_file_that_models_are_trained_or_tested_on() -> None:
    fixed = [
        piece.strip().lower()
        for message in (*texts.MESSAGES, *texts.VERDICTS)
        for piece in re.split(r"{\w+}", message)
        if len(piece.split()) >= TELLING_WORDS
    ]
    fixed += [text.lower() for text in texts.POLICIES]
    fixed += [question.lower() for question, _ in texts.QUESTIONS]
    assert len(fixed) > 30
    for path in (ROOT / "examples").rglob("*"):
        if path.is_file():
            content = path.read_bytes().decode(errors="replace").lower()
            assert [text for text in fixed if text in content] == [], path
