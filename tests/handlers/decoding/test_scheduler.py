"""The running batch: rows come and go, and none of it shows in an answer."""

from typing import Any

import numpy as np
import pytest

from contracts.errors import BackendFailure
from handlers.decoding.scheduler import Generation, Scheduler
from handlers.decoding.settings import resolve
from handlers.tokenization import Row
from model_store.backends.seq2seq.fake import FakeSeq2Seq

VOCABULARY = 40
DEFAULTS = {"decoder_start_token_id": 2, "eos_token_id": 3}


def scheduler(backend: Any = None, max_kv_tokens: int = 4096) -> Scheduler:
    backend = backend or FakeSeq2Seq(VOCABULARY)
    return Scheduler(backend, max_source_tokens=64, pad_id=1, max_kv_tokens=max_kv_tokens)


def generation(source: int, place: Any = None, **given: Any) -> Generation:
    random = np.random.default_rng(source)
    ids = random.integers(4, VOCABULARY, random.integers(3, 60)).tolist()
    given = {"max_new_tokens": 12} | given
    return Generation(
        Row(ids, [0] * len(ids)), resolve(given, DEFAULTS), None, source if place is None else place
    )


def run(queue: Scheduler) -> dict[Any, list[int]]:
    found: dict[Any, list[int]] = {}
    while queue:
        for one in queue.step():
            assert one.search is not None
            if one.search.ended is not None:
                found[one.place] = one.search.ended.ids
    return found


def alone(one: Generation) -> list[int]:
    queue = scheduler()
    queue.submit(one)
    return run(queue)[one.place]


KINDS: list[dict[str, Any]] = [
    {},
    {"num_beams": 4},
    {"do_sample": True, "seed": 5},
    {"num_beams": 2, "do_sample": True, "seed": 6},
    {"max_new_tokens": 30, "no_repeat_ngram_size": 2},
    {"repetition_penalty": 1.7, "max_new_tokens": 3},
]


def test_an_answer_is_the_same_alone_and_in_changing_company() -> None:
    work = [generation(seed, **KINDS[seed % len(KINDS)]) for seed in range(40)]
    expected = {seed: alone(generation(seed, **KINDS[seed % len(KINDS)])) for seed in range(40)}
    queue = scheduler(max_kv_tokens=900)
    found: dict[Any, list[int]] = {}
    for one in work:  # one more joins at every step, while others leave
        queue.submit(one)
        for moved in queue.step():
            assert moved.search is not None
            if moved.search.ended is not None:
                found[moved.place] = moved.search.ended.ids
    assert found | run(queue) == expected


def test_a_row_leaves_with_its_last_token_and_its_cache_with_it() -> None:
    queue = scheduler()
    queue.submit(generation(1, max_new_tokens=2, min_new_tokens=2))
    queue.submit(generation(2, max_new_tokens=9, min_new_tokens=9))
    queue.step()
    both = queue.held_bytes
    assert queue.running_rows == 2
    queue.step()
    assert queue.running_rows == 1
    assert queue.held_bytes < both


def test_what_would_not_fit_waits_and_nothing_passes_it() -> None:
    queue = scheduler(max_kv_tokens=200)
    queue.submit(generation(1, "first", max_new_tokens=40, min_new_tokens=40))
    queue.submit(generation(2, "large", max_new_tokens=150, min_new_tokens=150))
    queue.submit(generation(3, "small", max_new_tokens=2))
    first, large, small = (one.reserved_tokens for one in queue.generations)
    assert first + small <= 200 < first + large
    ended: list[Any] = []
    while queue:
        for one in queue.step():
            assert one.search is not None
            if one.search.ended is not None:
                ended.append(one.place)
        assert queue.running_tokens <= 200 or queue.running_rows == 1
    assert ended == ["first", "large", "small"]


def test_a_cancelled_row_is_gone_before_the_next_step() -> None:
    queue = scheduler()
    stays, goes, waits = generation(1, "a"), generation(2, "b", num_beams=3), generation(3, "c")
    expected = alone(generation(1, "a"))
    queue.submit(stays)
    queue.submit(goes)
    queue.step()
    queue.submit(waits)
    queue.cancel([goes, waits])
    assert queue.running_rows == 1
    assert queue.waiting == 0
    assert run(queue) == {"a": expected}


def test_what_ran_in_a_failed_step_decodes_again_alone_to_the_same_answers() -> None:
    backend = FakeSeq2Seq(VOCABULARY)
    queue = scheduler(backend)
    expected = {source: alone(generation(source)) for source in range(5)}
    for source in range(5):
        queue.submit(generation(source))
    for one in queue.step():
        assert one.search is not None
        backend.poison_id = one.search.newest[0]
    with pytest.raises(BackendFailure):
        queue.step()
    backend.poison_id = None
    running = queue.evict()
    assert sorted(one.place for one in running) == list(range(5))
    assert queue.running_rows == 0
    for one in running:
        one.alone = True
        queue.submit(one)
    found: dict[Any, list[int]] = {}
    while queue:
        moved = queue.step()
        assert len(moved) == 1
        found |= {
            one.place: one.search.ended.ids for one in moved if one.search and one.search.ended
        }
    assert found == expected


def test_numbers_that_are_none_end_their_own_row_only() -> None:
    class Broken(FakeSeq2Seq):
        def rows(self) -> Any:
            rows = super().rows()
            step = rows.step

            def broken(ids: Any) -> Any:
                logits = step(ids)
                logits[0] = np.nan
                return logits

            rows.step = broken  # type: ignore[method-assign]
            return rows

    queue = scheduler(Broken(VOCABULARY))
    queue.submit(generation(1))
    queue.submit(generation(2))
    first, second = queue.step()
    assert first.search is not None
    assert first.search.broken
    assert second.search is not None
    assert not second.search.broken
    assert queue.running_rows == 1
