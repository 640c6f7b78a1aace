"""Lines come out as they went in, wherever the pieces are cut."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import RequestTooLarge
from server.ndjson import LineCutter


def cut(pieces: list[bytes], longest: int = 100) -> list[bytes | None]:
    """The lines; None where one is too long."""
    cutter = LineCutter(longest)
    lines = [line for piece in pieces for line in cutter.feed(piece)]
    lines += cutter.feed(b"", last=True)
    return [None if isinstance(line, RequestTooLarge) else line for line in lines]


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=6))
def test_pieces_do_not_show(body: bytes, cuts: list[int]):
    places = [0, *sorted(cuts), 60]
    pieces = [body[start:end] for start, end in pairwise(places)]
    expected = [line.strip() for line in body.split(b"\n") if line.strip()]
    assert cut(pieces) == expected


def test_line_breaks_of_windows_and_blank_lines_are_no_lines():
    assert cut([b'"a"\r\n\r\n  \n"b"']) == [b'"a"', b'"b"']


def test_a_line_that_is_too_long_costs_only_itself_and_no_memory():
    pieces = [b'"a"\n', *[b"x" * 50] * 1000, b'\n"b"\n']
    assert cut(pieces) == [b'"a"', None, b'"b"']
    cutter = LineCutter(100)
    for piece in pieces[:-1]:
        list(cutter.feed(piece))
        assert len(cutter._begun) <= 100


def test_a_last_line_needs_no_line_break():
    assert cut([b'"a"\n"b"']) == [b'"a"', b'"b"']
    assert cut([b"x" * 101]) == [None]
    assert cut([]) == []
