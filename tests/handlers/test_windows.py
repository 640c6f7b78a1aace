"""Windows cover a text, overlap as asked, and cannot be made to multiply without end."""

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from handlers.tokenization import MANY_WINDOWS, dense, windows


@given(tokens=st.integers(0, 3000), room=st.integers(1, 300), stride=st.integers(0, 299))
def test_windows_cover_every_token_and_share_the_stride(tokens: int, room: int, stride: int):
    assume(stride < room)
    found = windows(tokens, room, stride)
    assert (found[0].start, found[-1].end) == (0, tokens)
    for left, right in pairwise(found):
        assert left.end - left.start == room
        assert left.end - right.start == stride
    assert all(window.end - window.start <= room for window in found)


def test_a_stride_that_leaves_no_step_is_an_error():
    with pytest.raises(ValueError, match="below"):
        windows(100, 10, 10)


@given(tokens=st.integers(1, 1_000_000), room=st.integers(2, 510), stride=st.integers(0, 509))
def test_what_is_not_dense_is_at_most_about_twice_the_text_or_few(
    tokens: int, room: int, stride: int
):
    assume(stride < room)
    if not dense(tokens, room, stride):
        count = -(-max(0, tokens - stride) // (room - stride))
        assert count <= MANY_WINDOWS + 1 or count * room <= 2.1 * tokens + 2 * room
