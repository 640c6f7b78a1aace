"""What goes in comes out, in order, whoever waits for whom; memory and disk have their limits."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from server import outbox
from server.outbox import ClientStalled, Outbox


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "PATIENCE_S", 0.02)
    monkeypatch.setattr(outbox, "GIVE_UP_S", 0.2)


def run(body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(body())


async def everything(box: Outbox) -> bytes:
    parts = []
    while part := await box.take():
        parts.append(part)
    return b"".join(parts)


def test_a_reader_that_pauses_at_random_gets_every_byte_in_order():
    async def body() -> None:
        draw = random.Random(1)
        pieces = [bytes([number % 251]) * draw.randint(1, 900) for number in range(800)]
        box = Outbox(2_000, 40_000)
        most = 0

        async def write() -> None:
            for piece in pieces:
                await box.put(piece)
                await asyncio.sleep(0)
            box.end()

        writing = asyncio.create_task(write())
        parts = []
        while part := await box.take():
            parts.append(part)
            most = max(most, box.on_disk)
            if draw.random() < 0.02:
                await asyncio.sleep(0.05)
        await writing
        assert b"".join(parts) == b"".join(pieces)
        assert 0 < most <= 40_000
        box.close()

    run(body)


def test_a_reader_that_reads_nothing_until_all_is_written_gets_it_from_disk():
    async def body() -> None:
        box = Outbox(1_000, 1_000_000)
        for number in range(500):
            await box.put(b"%03d" % number * 100)
        box.end()
        assert box.on_disk > 100_000
        read = await everything(box)
        assert read == b"".join(b"%03d" % number * 100 for number in range(500))
        assert box.on_disk == 0
        box.close()

    run(body)


def test_a_slow_reader_holds_the_writer_up_and_nothing_goes_to_disk():
    async def body() -> None:
        box = Outbox(1_000, 1_000_000)
        written = 0

        async def write() -> None:
            nonlocal written
            for _ in range(100):
                await box.put(b"x" * 500)
                written += 1
            box.end()

        writing = asyncio.create_task(write())
        for taken in range(1, 101):
            await asyncio.sleep(0.001)
            assert await box.take() == b"x" * 500
            assert written - taken <= 3
            assert box.on_disk == 0
        await writing

    run(body)


def test_with_memory_and_disk_full_the_writer_waits_and_at_last_gives_up():
    async def body() -> None:
        box = Outbox(1_000, 2_000)
        for _ in range(6):
            await box.put(b"x" * 500)
        with pytest.raises(ClientStalled):
            await box.put(b"x" * 500)
        assert box.on_disk <= 2_000
        box.close()

    run(body)
