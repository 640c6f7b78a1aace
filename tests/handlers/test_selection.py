"""The sentences of a summary: the best that fit, none that says what was said already."""

from collections.abc import Sequence

import pytest

from handlers.selection import count_words, join, select
from handlers.summary_budget import Budget


def choose(texts: Sequence[str], scores: Sequence[float], budget: Budget) -> list[int]:
    return select(texts, scores, [len(text) for text in texts], budget)


def test_what_was_said_is_not_said_again() -> None:
    texts = [
        "The contract ends on the 31st of December.",
        "Please pay the bill.",
        "the contract ends on the 31st of december",
        "As we said, the contract ends on the 31st of December.",
        "我们去公园吧。",
        "今天我们去公园吧！",
    ]
    assert choose(texts, [0.9, 0.1, 0.8, 0.7, 0.5, 0.4], Budget(6)) == [0, 1, 4]


def test_sentences_that_share_a_phrase_are_both_kept() -> None:
    texts = ["The price of the phone rose to 300 euros.", "The price of the case did not change."]
    assert choose(texts, [0.9, 0.8], Budget(2)) == [0, 1]


def test_punctuation_and_emoji_are_no_sentence_unless_there_is_nothing_else() -> None:
    assert choose(["***", "Fine.", "😀"], [0.9, 0.1, 0.8], Budget(3)) == [1]
    assert choose(["***", "😀"], [0.1, 0.8], Budget(1)) == [1]


def test_equal_scores_go_by_the_order_of_the_text() -> None:
    assert choose(["One two.", "Three four.", "Five six."], [0.5] * 3, Budget(2)) == [0, 1]


def test_a_sentence_that_does_not_fit_leaves_room_for_a_shorter_one() -> None:
    texts = ["One two three four five.", "Six.", "Seven eight."]
    assert choose(texts, [0.5, 0.2, 0.3], Budget(words=3)) == [1, 2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Dr. Smith paid $3.50.", 4),
        ("我爱北京。", 4),
        ("iPhone 很好，は", 4),
        ("", 0),
        ("서울은 도시", 2),
    ],
)
def test_words_are_counted_as_people_do(text: str, words: int) -> None:
    assert count_words(text) == words


def test_sentences_are_joined_as_their_script_does() -> None:
    assert join(["One.", "Two!"]) == "One. Two!"
    assert join(["今天。", "他说：“好的。”", "はい！"]) == "今天。他说：“好的。”はい！"
    assert join(["今天。", "Hello.", "好。"]) == "今天。 Hello. 好。"
    assert join(["One."]) == "One."
