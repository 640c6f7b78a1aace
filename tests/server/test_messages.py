"""Frames survive any cut of the stream."""

from hypothesis import given
from hypothesis import strategies as st

from server.messages import Cancel, Done, Ping, Unpacker, pack

MESSAGES = [Ping(), Cancel(7), Done(1, [{"label": "x", "score": 0.5}], 1, False, 0.1, 0.2, 0.3)]


@given(cuts=st.lists(st.integers(1, 60), min_size=1, max_size=50))
def test_messages_come_out_whole_however_the_stream_is_cut(cuts: list[int]):
    stream = b"".join(map(pack, MESSAGES))
    unpacker, out, start = Unpacker(), [], 0
    for cut in [*cuts, len(stream)]:
        out += unpacker.feed(stream[start : start + cut])
        start += cut
    assert out == MESSAGES
