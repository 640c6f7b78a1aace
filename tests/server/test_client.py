"""What an HTTP process sees of engines that are alike, and which of them it asks."""

from pathlib import Path

import pytest

from contracts.errors import Unavailable
from server.client import EnginePool
from server.lanes import Lane
from server.messages import ModelStatus, Status, Work

LOADING = ModelStatus("intent", 1, (), "text-classification", "loading")
READY = ModelStatus("intent", 1, (), "text-classification", "ready")


@pytest.fixture
def pool() -> EnginePool:
    paths = {Lane.ENCODING: [Path("0.sock"), Path("1.sock")]}
    return EnginePool(paths, {Lane.ENCODING: [LOADING]}, lambda ran: None)


def tell(pool: EnginePool, engine: int, model: ModelStatus) -> None:
    link = pool.links[engine]
    link.status = Status(engine, (model,))
    link.ready = frozenset({model.id} if model.state == "ready" else ())


def work(number: int) -> Work:
    return Work(number, "r", "intent@1", [], 0.0, 1.0)


def test_a_model_is_ready_though_one_of_two_engines_still_loads_it(pool: EnginePool):
    tell(pool, 0, LOADING)
    tell(pool, 1, READY)
    assert [model.state for model in pool.models] == ["ready"]
    assert not pool.ready
    link, _ = pool.choose(Lane.ENCODING, "intent@1", work)
    assert link is pool.links[1]


def test_nobody_is_asked_who_does_not_have_the_model(pool: EnginePool):
    assert [model.state for model in pool.models] == ["loading"]
    with pytest.raises(Unavailable):
        pool.choose(Lane.ENCODING, "intent@1", work)
    tell(pool, 0, READY)
    tell(pool, 1, READY)
    assert pool.ready
    with pytest.raises(Unavailable):
        pool.choose(Lane.ENCODING, "intent@2", work)
