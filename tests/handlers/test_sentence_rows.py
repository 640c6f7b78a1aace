"""Rows hold every sentence whole, and each is read where the row shows most around it."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.sentence_rows import Place, best_places, sentence_rows
from handlers.tokenization import TextTokenizer
from tests.models import MAX_TOKENS, tiny_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    tiny_tokenizer(folder, "bert")
    return TextTokenizer.load(folder, MAX_TOKENS)


@given(st.lists(st.integers(0, 70), min_size=1, max_size=60), st.integers(8, MAX_TOKENS))
def test_rows_hold_every_sentence_whole_and_overlap(
    tokenizer: TextTokenizer, lengths: list[int], max_tokens: int
) -> None:
    texts = [[1000 + number] * length for number, length in enumerate(lengths)]
    rows = sentence_rows(tokenizer, texts, max_tokens)
    cls, sep = tokenizer.single_prefix, tokenizer.single_suffix
    room = max_tokens - 2
    assert rows[0].first == 0
    for one in rows:
        assert len(one.row) <= max_tokens
        expected: list[int] = []
        for text, (start, end) in zip(texts[one.first :], one.spans, strict=False):
            assert start == len(expected)
            expected += [*cls, *text[:room], *sep]
            assert end == len(expected)
        assert one.row.input_ids == expected
    held = [range(one.first, one.first + len(one.spans)) for one in rows]
    assert {number for numbers in held for number in numbers} == set(range(len(texts)))
    for before, after in pairwise(held):
        assert before.start < after.start <= before.stop < after.stop
        shared = sum(min(lengths[number], room) + 2 for number in range(after.start, before.stop))
        assert shared <= max_tokens / 4


@given(st.lists(st.integers(0, 40), min_size=1, max_size=60))
def test_each_sentence_is_read_where_it_has_most_context(
    tokenizer: TextTokenizer, lengths: list[int]
) -> None:
    rows = sentence_rows(tokenizer, [[7] * length for length in lengths])
    places = best_places(rows)
    assert len(places) == len(lengths)
    for number, place in enumerate(places):
        assert place.end - place.start == lengths[number] + 2
        contexts = {}
        for other, one in enumerate(rows):
            if 0 <= number - one.first < len(one.spans):
                start, end = one.spans[number - one.first]
                contexts[Place(other, start, end)] = min(start, len(one.row) - end)
        assert contexts[place] == max(contexts.values())


def test_neighbouring_rows_share_context(tokenizer: TextTokenizer) -> None:
    rows = sentence_rows(tokenizer, [[7] * 8] * 60)
    for before, after in pairwise(rows):
        assert before.first + len(before.spans) - after.first == 3
