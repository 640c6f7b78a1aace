"""Text out of generated ids equals transformers', as a whole and token by token."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from handlers.detokenizer import Detokenizer, TextStream
from tests.handlers.kinds import KINDS, LINES, ids_of, made, reference


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), clean_up=st.booleans())
@settings(max_examples=40, deadline=None)
def test_decoding_equals_that_of_transformers(
    kind: str, data: st.DataObject, clean_up: bool
) -> None:
    ids = data.draw(ids_of(kind))
    expected = reference(kind).decode(
        ids, skip_special_tokens=True, clean_up_tokenization_spaces=clean_up
    )
    assert Detokenizer(made(kind)).decode(ids, clean_up=clean_up) == expected
    assert Detokenizer(made(kind), clean_up=clean_up).decode(ids) == expected


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), clean_up=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_streams_parts_are_the_whole_text(kind: str, data: st.DataObject, clean_up: bool) -> None:
    ids = data.draw(ids_of(kind))
    detokenizer = Detokenizer(made(kind))
    stream = TextStream(detokenizer, clean_up=clean_up)
    shown = ""
    for index in ids:
        shown += stream.push(index)
    shown += stream.finish()
    assert shown == detokenizer.decode(ids, clean_up=clean_up)


@pytest.mark.parametrize("kind", KINDS)
def test_a_word_is_shown_with_the_token_that_ends_it(kind: str) -> None:
    detokenizer = Detokenizer(made(kind))
    ids = made(kind).encode("The parcel waits in the warehouse of Hamburg").ids
    stream, shown = TextStream(detokenizer), ""
    for place, index in enumerate(ids, start=1):
        shown += stream.push(index)
        assert shown == detokenizer.decode(ids[:place]).rstrip()
    assert stream.finish() == ""


def test_a_character_is_shown_with_its_last_byte() -> None:
    ids = made("byte_level").encode("a😀b").ids
    stream = TextStream(Detokenizer(made("byte_level")))
    assert [stream.push(index) for index in ids] == ["a", "", "", "", "😀", "b"]
    assert stream.finish() == ""


def test_bytes_wait_for_the_token_after_them_which_may_spoil_them() -> None:
    tokenizer = made("byte_fallback")
    smile = [tokenizer.token_to_id(f"<0x{code:02X}>") for code in "😀".encode()]
    letter = tokenizer.token_to_id("a")
    stream = TextStream(Detokenizer(tokenizer))
    assert [stream.push(index) for index in [*smile, letter]] == ["", "", "", "", "😀a"]
    stream = TextStream(Detokenizer(tokenizer))
    parts = [stream.push(index) for index in [*smile, smile[-1], letter]]
    assert parts == ["", "", "", "", "", "\ufffd" * 5 + "a"]
    stream = TextStream(Detokenizer(tokenizer))
    assert [stream.push(index) for index in smile] == [""] * 4
    assert stream.finish() == "😀"


def test_a_space_that_cleaning_may_take_away_waits() -> None:
    tokenizer = made("word_piece")
    words = ["do", "'", "it", ".", "The", ","]
    ids = [tokenizer.token_to_id(word) for word in words]
    stream = TextStream(Detokenizer(tokenizer), clean_up=True)
    parts = [stream.push(index) for index in ids]
    assert parts == ["do", "", "'it", ".", " The", ","]


class Counted:
    """A tokenizer that notes how many ids it decodes."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.decoded: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def decode(self, ids: list[int], **options: Any) -> str:
        self.decoded.append(len(ids))
        return self._tokenizer.decode(ids, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_costs_the_same_late_in_a_long_answer(kind: str) -> None:
    tokenizer = made(kind)
    ids = tokenizer.encode(" ".join(LINES[1:9])).ids * 5
    blank = tokenizer.token_to_id("▁") or ids[0]
    byte = tokenizer.token_to_id("<0x41>") or ids[0]
    for answer in (ids, [*ids[:9], *[blank] * 1000, *ids], [*ids[:9], *[byte] * 1000, *ids]):
        counted = Counted(tokenizer)
        stream = TextStream(Detokenizer(counted))
        shown = "".join(stream.push(index) for index in answer) + stream.finish()
        assert shown == tokenizer.decode(answer)
        assert sum(counted.decoded) <= 6 * len(answer)


def test_special_tokens_are_known_and_named() -> None:
    for kind in KINDS:
        tokenizer = made(kind)
        detokenizer = Detokenizer(tokenizer)
        end, plain_token = tokenizer.token_to_id("</s>"), tokenizer.token_to_id("<sep>")
        assert detokenizer.special(end)
        assert not detokenizer.special(plain_token)
        assert not detokenizer.special(tokenizer.get_vocab_size() + 1)
        assert detokenizer.piece(end).strip() == "</s>"
        assert detokenizer.piece(plain_token).strip() == "<sep>"
        assert detokenizer.piece(tokenizer.get_vocab_size() + 1) == ""


def test_a_piece_is_what_a_token_adds_inside_a_text() -> None:
    pieces = {
        kind: Detokenizer(made(kind)).piece(made(kind).encode("a dog the").ids[-1])
        for kind in ("metaspace", "word_piece", "byte_level")
    }
    assert pieces == dict.fromkeys(pieces, " the")
    tokenizer = made("word_piece")
    assert Detokenizer(tokenizer).piece(tokenizer.token_to_id("##s")) == "s"
    fallback = Detokenizer(made("byte_fallback"))
    assert fallback.piece(made("byte_fallback").token_to_id("<0x41>")) == "A"
    assert fallback.piece(made("byte_fallback").token_to_id("<0xE2>")) == "\ufffd"
