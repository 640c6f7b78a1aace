"""Nobody waits for an answer that cannot be there in time, and a refusal says when to come back."""

import pytest

from contracts.errors import Overloaded
from server.line import LONGEST_RETRY_S, Line


def busy(line: Line, *, per_s: float, seconds: float = 20.0, characters: int = 50) -> float:
    """Let a line that is never empty be answered at a rate; returns the clock."""
    now = 0.0
    line.enter(characters, now + 1e9, now)
    while now < seconds:
        line.enter(characters, now + 1e9, now)
        now += characters / per_s
        line.leave(characters, answered=True, now=now)
    return now


def test_the_last_place_is_given_and_the_next_told_when_to_come_back():
    line = Line(3)
    for _ in range(3):
        line.enter(10, 9.0, 0.0)
    with pytest.raises(Overloaded, match="3 requests wait already; try again in 1 s") as refusal:
        line.enter(10, 9.0, 0.0)
    assert refusal.value.headers == {"Retry-After": "1"}
    line.leave(10, answered=True, now=1.0)
    line.enter(10, 9.0, 1.0)


def test_one_key_fills_half_of_the_line_at_most():
    line = Line(10)
    line.check_share(5)
    with pytest.raises(Overloaded, match="5 requests of this key wait already"):
        line.check_share(6)
    Line(1).check_share(1)


def test_the_rate_is_that_of_the_answers_while_somebody_waits():
    line = Line(100)
    now = busy(line, per_s=2000)
    assert line.rate == pytest.approx(2000, rel=0.02)
    line.leave(50, answered=True, now=now + 0.025)
    # A pause says nothing about what can be done.
    line.enter(50, now + 999, now + 600)
    line.leave(50, answered=True, now=now + 600.025)
    assert line.rate == pytest.approx(2000, rel=0.05)


def test_what_was_given_up_is_no_work_done():
    line = Line(100)
    now = busy(line, per_s=2000)
    rate = line.rate
    line.enter(10**6, now + 1e9, now)
    line.leave(10**6, answered=False, now=now)
    assert line.rate == pytest.approx(rate)
    assert line.characters == 50


def test_a_request_that_would_be_late_is_refused_with_the_time_by_which_it_would():
    line = Line(100)
    now = busy(line, per_s=1000)
    line.enter(20_000, now + 30, now)  # 20 s of work, with 30 s left
    with pytest.raises(Overloaded, match="would be late") as refusal:
        line.enter(14_000, now + 30, now)
    assert refusal.value.headers == {"Retry-After": "5"}
    line.enter(5_000, now + 30, now)
    with pytest.raises(Overloaded, match="would be late"):
        line.enter(10, now + 0.5, now)


def test_a_lone_request_is_never_late_by_an_estimate():
    line = Line(100)
    now = busy(line, per_s=1000)
    line.leave(50, answered=True, now=now)
    assert line.waiting == 0
    line.enter(10**6, now + 1, now)


def test_nobody_is_sent_away_for_longer_than_a_minute():
    line = Line(1)
    busy(Line(5), per_s=1)
    line.enter(10, 1e9, 0.0)
    line.leave(10, answered=True, now=100.0)
    line.enter(10**6, 1e9, 100.0)
    with pytest.raises(Overloaded) as refusal:
        line.check()
    assert refusal.value.headers == {"Retry-After": str(LONGEST_RETRY_S)}


def test_few_that_wait_do_not_hide_what_many_showed():
    """One client at a time is answered slowly for each, though many would be answered fast."""
    line = Line(100)
    now = busy(line, per_s=10_000)
    line.leave(50, answered=True, now=now)
    for _ in range(20):
        line.enter(50, now + 9, now)
        now += 0.1
        line.leave(50, answered=True, now=now)
    assert line.rate > 8000
