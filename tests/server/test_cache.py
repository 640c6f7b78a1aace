"""What was answered once is answered again at once, inside of its bytes, and never for another."""

import pytest

from contracts.errors import InputTooLong
from contracts.schemas import ClassificationBody
from server.cache import AnswerCache
from server.messages import Done


def done(*answers: object) -> Done:
    return Done(1, list(answers), 1, False, 0.0, 0.0, 0.0)


def key(cache: AnswerCache, text: str, model: str = "intent@1", **parameters: object) -> bytes:
    body = ClassificationBody(inputs=text, parameters=parameters)  # type: ignore[arg-type]
    return cache.key(model, body.items())


def test_the_same_question_to_the_same_version_is_answered_from_what_is_kept():
    cache = AnswerCache(10_000)
    assert cache.get(key(cache, "hello")) is None
    cache.put(key(cache, "hello"), done([{"label": "a", "score": 0.5}]))
    kept = cache.get(key(cache, "hello"))
    assert kept is not None
    assert kept.answers == [[{"label": "a", "score": 0.5}]]
    assert (cache.hits, cache.misses) == (1, 1)


@pytest.mark.parametrize(
    "other", [{"text": "hello!"}, {"model": "intent@2"}, {"top_k": 1}, {"long": "truncate"}]
)
def test_another_text_version_or_parameter_is_another_question(other: dict[str, object]):
    cache = AnswerCache(10_000)
    cache.put(key(cache, "hello"), done([]))
    assert cache.get(key(cache, **({"text": "hello"} | other))) is None  # type: ignore[arg-type]


def test_errors_are_not_kept():
    cache = AnswerCache(10_000)
    cache.put(key(cache, "hello"), done([], InputTooLong(9, 8)))
    assert len(cache) == 0


def test_the_answers_asked_for_longest_ago_go_first():
    cache = AnswerCache(10_000)
    cache.put(key(cache, "0"), done([]))
    size = cache.bytes
    cache = AnswerCache(3 * size + 8)
    for text in "012":
        cache.put(key(cache, text), done([]))
    cache.get(key(cache, "0"))
    cache.put(key(cache, "3"), done([]))
    assert len(cache) == 3
    assert cache.bytes <= 3 * size + 8
    assert cache.get(key(cache, "1")) is None
    assert cache.get(key(cache, "0")) is not None


def test_what_is_larger_than_the_cache_is_not_kept_and_drives_nothing_out():
    cache = AnswerCache(1000)
    cache.put(key(cache, "hello"), done([]))
    cache.put(key(cache, "x" * 2000), done([]))
    assert len(cache) == 1


def test_without_room_nothing_is_kept():
    cache = AnswerCache(0)
    assert not cache.on
    cache.put(key(cache, "hello"), done([]))
    assert len(cache) == 0
