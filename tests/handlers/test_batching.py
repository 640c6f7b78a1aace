"""The plan: every row once, inside the budget, never padded by its neighbours, none starved."""

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


@given(tokens=st.integers(16, 2048))
def test_padding_is_less_than_the_row_itself(tokens: int):
    assert padded_length(tokens, 8192) < 2 * tokens


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
    queue: RowQueue[str, int] = RowQueue(1024)
    for number, (key, padded, deadline) in enumerate(rows):
        queue.push(key, padded, deadline, number)
    left = dict(enumerate(rows))
    while queue:
        key, padded, batch = queue.pop()
        earliest = min(deadline for _, _, deadline in left.values())
        assert any(left[number][2] == earliest for number in batch)
        deadlines = [left[number][2] for number in batch]
        assert deadlines == sorted(deadlines)
        for number in batch:
            assert left.pop(number)[:2] == (key, padded)
    assert not left


def test_a_long_row_waits_no_longer_than_the_rows_before_it():
    """A stream of short rows with later deadlines cannot overtake a long one for ever."""
    queue: RowQueue[str, str] = RowQueue(2048)
    queue.push("m", 512, 5.0, "long")
    for step in range(200):
        queue.push("m", 16, float(step), f"short {step}")
    order = []
    while queue:
        order += queue.pop()[2]
    assert order.index("long") <= 2048 // 16
