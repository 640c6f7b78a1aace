"""Stop strings end an answer where transformers' StopStringCriteria would."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.detokenizer import Detokenizer
from handlers.stop_strings import StopStrings
from tests.handlers.kinds import KINDS, ids_of, made, reference

SHARED = [kind for kind in KINDS if kind not in ("end_of_word", "plain")]
"""transformers sets a space before every piece of the first, and cannot read the second."""


def ends(kind: str, stop: list[str], ids: list[int]) -> list[bool]:
    """Per length of an answer, whether transformers would end it there."""
    import torch
    from transformers import StopStringCriteria

    try:
        criteria = StopStringCriteria(reference(kind), stop)
    except ValueError:  # no token holds the end of a string: nothing can complete it
        return [False] * len(ids)
    return [bool(criteria(torch.tensor([ids[:end]]), None)[0]) for end in range(1, len(ids) + 1)]


@pytest.mark.parametrize("kind", SHARED)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_an_answer_ends_with_the_token_that_it_ends_with_in_transformers(
    kind: str, data: st.DataObject
) -> None:
    size = made(kind).get_vocab_size()
    ids = [index for index in data.draw(ids_of(kind)) if index < size]
    detokenizer = Detokenizer(made(kind))
    text = "".join(map(detokenizer.piece, ids)).replace("\ufffd", "")
    strings = ["the", " ", "é", "</s>", "don't", "😀"]
    if text:
        start = data.draw(st.integers(0, len(text) - 1))
        strings.append(text[start : start + data.draw(st.integers(1, 9))])
    stop = data.draw(st.lists(st.sampled_from(strings), min_size=1, max_size=3, unique=True))
    ours = StopStrings(stop, detokenizer)
    found = [ours.complete(ids[:end]) for end in range(1, len(ids) + 1)]
    assert found == ends(kind, stop, ids), stop


@pytest.mark.parametrize("kind", ["end_of_word", "plain", "metaspace", "word_piece"])
def test_a_string_over_two_words_is_found_in_every_kind(kind: str) -> None:
    ids = made(kind).encode("the dog").ids
    stop = StopStrings(["e do", "e ##do"], Detokenizer(made(kind)))
    assert any(stop.complete(ids[:end]) for end in range(1, len(ids) + 1))


def test_a_string_may_begin_and_end_inside_tokens() -> None:
    tokenizer = made("metaspace")
    ids = tokenizer.encode("The quick brown fox").ids
    detokenizer = Detokenizer(tokenizer)
    stop = StopStrings(["ick bro"], detokenizer)
    found = [stop.complete(ids[:length]) for length in range(len(ids) + 1)]
    assert found.count(True) == 1
    until = found.index(True)
    assert "ick bro" in detokenizer.decode(ids[:until])
    assert "ick bro" not in detokenizer.decode(ids[: until - 1])


def test_a_string_that_stood_there_before_ends_nothing() -> None:
    tokenizer = made("byte_level")
    first, second = tokenizer.encode("the").ids, tokenizer.encode(" fox").ids
    stop = StopStrings(["the"], Detokenizer(tokenizer))
    assert stop.complete(first)
    assert not stop.complete(first + second)
    assert not StopStrings([], Detokenizer(tokenizer)).complete(first)
    assert not stop.complete([])


def test_a_token_costs_the_same_late_in_a_long_answer() -> None:
    detokenizer = Detokenizer(made("metaspace"))
    asked: list[int] = []
    piece_bytes = detokenizer.piece_bytes
    detokenizer.piece_bytes = lambda index: asked.append(index) or piece_bytes(index)  # type: ignore[method-assign, func-returns-value]
    letter = made("metaspace").token_to_id("a")
    StopStrings(["five!"], detokenizer).complete([letter] * 5000)
    assert len(asked) <= 5
