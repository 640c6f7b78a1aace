"""The plan: every row once, inside the budget, never padded by its neighbours, none starved."""

from collections import deque
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.batching import RowQueue, padded_length, plan_batches

LENGTHS = st.lists(st.integers(1, 600), max_size=80)


@given(tokens=st.integers(1, 5000), max_tokens=st.integers(8, 8192))
def test_padded_length_holds_the_row_and_never_passes_the_model(tokens: int, max_tokens: int):
    padded = padded_length(tokens, max_tokens)
    assert padded >= tokens
    if tokens <= max_tokens:
        assert padded <= max_tokens


@given(tokens=st.integers(1, 8192))
def test_padding_is_less_than_eight_tokens_or_a_quarter_of_the_row(tokens: int):
    assert padded_length(tokens, 8192) - tokens < max(8, tokens / 4)


@given(tokens=st.integers(1, 8192))
def test_with_few_lengths_padding_is_less_than_eight_tokens_or_half_of_the_row(tokens: int):
    padded = padded_length(tokens, 8192, few=True)
    assert padded - tokens < max(8, tokens / 2)
    assert padded_length(padded, 8192) == padded, "the few are some of the many"


def test_the_lengths_are_as_many_as_a_runtime_can_keep_kernels_for():
    assert len({padded_length(tokens, 512) for tokens in range(1, 513)}) == 20
    assert sorted({padded_length(tokens, 512, few=True) for tokens in range(1, 513)}) == [
        *(8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
    ]


@given(lengths=LENGTHS, budget=st.integers(1, 4096))
def test_plan_places_every_row_once_within_budget(lengths: list[int], budget: int):
    padded = [padded_length(length, 512) for length in lengths]
    batches = plan_batches(padded, budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or padded[batch[0]] * len(batch) <= budget


@given(lengths=LENGTHS)
def test_a_batch_has_one_padded_length(lengths: list[int]):
    padded = [padded_length(length, 512) for length in lengths]
    for batch in plan_batches(padded, 2048):
        assert len({padded[index] for index in batch}) == 1


@given(lengths=LENGTHS)
def test_batches_are_as_full_as_the_budget_allows(lengths: list[int]):
    padded = [padded_length(length, 512) for length in lengths]
    batches = plan_batches(padded, 2048)
    for size in set(padded):
        mine = [batch for batch in batches if padded[batch[0]] == size]
        room = max(1, 2048 // size)
        assert len(mine) == -(-padded.count(size) // room)


@given(
    rows=st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from([16, 64, 512]), st.integers(0, 9)),
        min_size=1,
        max_size=60,
    )
)
def test_the_earliest_deadline_is_always_in_the_next_batch(rows: list[tuple[str, int, int]]):
    queue: RowQueue[str, int] = RowQueue(lambda _: 1024)
    for number, (key, padded, deadline) in enumerate(rows):
        queue.push(key, padded, deadline, number)
    left = dict(enumerate(rows))
    while queue:
        taken = queue.pop()
        key, padded, batch = taken.key, taken.padded_tokens, taken.items
        earliest = min(deadline for _, _, deadline in left.values())
        assert any(left[number][2] == earliest for number in batch)
        deadlines = [left[number][2] for number in batch]
        assert deadlines == sorted(deadlines)
        for number in batch:
            assert left.pop(number)[:2] == (key, padded)
    assert not left


def test_a_long_row_waits_no_longer_than_the_rows_before_it():
    """A stream of short rows with later deadlines cannot overtake a long one for ever."""
    queue: RowQueue[str, str] = RowQueue(lambda _: 2048)
    queue.push("m", 512, 5.0, "long")
    for step in range(200):
        queue.push("m", 16, float(step), f"short {step}")
    order = []
    while queue:
        order += queue.pop().items
    assert order.index("long") <= 2048 // 16


def test_rows_of_one_length_are_shared_out_among_what_is_free():
    queue: RowQueue[str, int] = RowQueue(lambda _: 1024)
    for number in range(10):
        queue.push("m", 16, 0.0, number)
    sizes = [len(queue.pop(free).items) for free in (3, 2, 1)]
    assert sizes == [4, 3, 3]


def test_a_batch_says_why_it_ended():
    queue: RowQueue[str, str] = RowQueue({"m": 32, "n": 512}.__getitem__)
    for text in ("a", "b", "c"):
        queue.push("m", 16, 0.0, text)
    queue.push("m", 64, 1.0, "long")
    queue.push("n", 16, 2.0, "other")
    cuts = []
    while queue:
        taken = queue.pop()
        cuts.append((taken.items, taken.cut))
    assert cuts == [
        (["a", "b"], "budget"),
        (["c"], "length"),
        (["long"], "length"),
        (["other"], "drained"),
    ]


@pytest.mark.parametrize("streams", [1, 2])
@pytest.mark.parametrize("load", [0.9, 1.3])
def test_no_row_waits_longer_than_the_work_that_stood_before_it(streams: int, load: float):
    """On a simulated clock: a token takes a millisecond, streams run side by side.

    Rows of all lengths come by chance, at ``load`` of what can be done, each with 2 s from its
    arrival. A row waits for the tokens that have an earlier deadline; later rows may fill up the
    last batch of those of each length; and some batches run already: it waits for nothing else.
    """
    random, budget, token_s = Random(7), 256, 0.001
    lengths, weights = [8, 16, 64, 256], [70, 20, 8, 2]
    mean = sum(map(int.__mul__, lengths, weights)) / sum(weights)
    clock, arrivals = 0.0, []
    for number in range(3000):
        clock += random.expovariate(load * streams / (mean * token_s))
        arrivals.append((clock, random.choices(lengths, weights)[0], number))
    queue: RowQueue[str, int] = RowQueue(lambda _: budget)
    waiting: dict[int, float] = {}
    before: dict[int, float] = {}
    free_at, batch_s = [0.0] * streams, budget * token_s
    coming = deque(arrivals)
    while coming or queue:
        now = max(min(free_at), coming[0][0] if not queue else 0.0)
        while coming and coming[0][0] <= now:
            arrived, length, number = coming.popleft()
            left = sum(arrivals[other][1] for other in waiting) * token_s
            queue.push("m", length, arrived + 2, number)
            waiting[number], before[number] = arrived, left
        if not queue:
            continue
        taken = queue.pop()
        for number in taken.items:
            arrived = waiting.pop(number)
            bound = before[number] + (len(lengths) + streams) * batch_s
            assert now - arrived <= bound / streams + 1e-9, number
        free_at[free_at.index(min(free_at))] = (
            now + taken.padded_tokens * len(taken.items) * token_s
        )
