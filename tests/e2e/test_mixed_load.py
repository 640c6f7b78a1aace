"""64 clients for a minute, with bad requests among the good: each failure stays its own."""

import asyncio
import itertools
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from tokenizers import AddedToken, Tokenizer

from contracts.tasks import Task
from tests.models import tiny_checkpoint
from tests.running import running

CLIENTS, SECONDS, EVERY = 64, 60, 50
POISON = "poisonword"
TEXTS = [
    f"Where is my parcel number {number}?" + " It is late." * (number % 12) for number in range(40)
]
BAD: dict[str, tuple[Any, int]] = {
    "poison": ({"inputs": f"Where is my {POISON}?"}, 500),
    "over-long": ({"inputs": "Where is my parcel? " * 400}, 413),
    "malformed": ({"input": "Where is my parcel?"}, 422),
}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A model whose tokenizer knows one word more than its embedding: that row fails its batch."""
    folder = tiny_checkpoint(tmp_path / "intent", "bert", Task.TEXT_CLASSIFICATION)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens([AddedToken(POISON, single_word=True)])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_every_neighbour_of_a_bad_request_is_answered(tmp_path: Path, checkpoint: Path):
    arguments = [f"--model=intent={checkpoint}", f"--store={tmp_path / 'store'}"]
    with running(tmp_path / "log", *arguments, "--backend=torch", "--precision=fp32") as server:
        server.wait_ready()
        url = f"{server.url}/models/intent"
        alone = {text: server.ask("intent", text).json()[0] for text in TEXTS}
        seen: dict[str, Counter[int]] = {name: Counter() for name in (*BAD, "good")}
        farthest = 0.0
        numbers = itertools.count()

        async def one(client: httpx.AsyncClient, ends: float) -> None:
            nonlocal farthest
            while time.monotonic() < ends:
                place = next(numbers)
                kind = dict(zip((7, 23, 41), BAD, strict=True)).get(place % EVERY, "good")
                text = TEXTS[place % len(TEXTS)]
                body = BAD[kind][0] if kind in BAD else {"inputs": text}
                answer = await client.post(url, json=body)
                seen[kind][answer.status_code] += 1
                if kind != "good":
                    assert answer.json()["error"]
                elif answer.status_code == 200:
                    (found,) = answer.json()
                    assert found[0]["label"] == alone[text][0]["label"]
                    farthest = max(farthest, abs(found[0]["score"] - alone[text][0]["score"]))

        async def scene() -> None:
            limits = httpx.Limits(max_connections=CLIENTS)
            async with httpx.AsyncClient(timeout=30, limits=limits) as client:
                ends = time.monotonic() + SECONDS
                await asyncio.gather(*(one(client, ends) for _ in range(CLIENTS)))

        asyncio.run(scene())
        print({name: dict(statuses) for name, statuses in seen.items()}, f"{farthest:.1e}")
        for name, (_, status) in BAD.items():
            assert set(seen[name]) == {status}
            assert seen[name][status] > 10
        assert set(seen["good"]) == {200}
        assert farthest <= 1e-5
        assert server.metric("tuneserve_waiting") == 0
