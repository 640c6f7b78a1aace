"""One suite over the generating backends: what a decoding loop may rely on, whichever is below."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from contracts.tasks import Task
from contracts.tensors import Array, Tensors
from model_store.backends.seq2seq.base import DecoderRows, Seq2SeqBackend
from model_store.backends.torch import load_model
from tests.model_store.backends.seq2seq.exports import ARCHITECTURES, QUICK, exported
from tests.seq2seq_models import tiny_seq2seq_model

TOLERANCE = 2e-3
"""How far a logit may lie from another path's; they have a standard deviation near 6. Kernels sum
in another order when the number of rows or columns is another."""

VOCABULARY = 280
"""Ids that every tiny model has."""

NEW_TOKENS = 40
"""Enough that caches grow more than once."""


def _torch(architecture: str) -> Seq2SeqBackend:
    from model_store.backends.seq2seq.torch import open_torch_seq2seq

    return open_torch_seq2seq(exported(architecture))


def _onnxruntime(architecture: str) -> Seq2SeqBackend:
    from model_store.backends.onnxruntime import open_onnxruntime
    from model_store.backends.seq2seq.graph import GraphSeq2Seq
    from model_store.backends.seq2seq.onnxruntime import open_onnxruntime_decoder

    folder = exported(architecture) / "onnx"
    return GraphSeq2Seq(
        open_onnxruntime(folder / "encoder.onnx"), open_onnxruntime_decoder(folder / "decoder.onnx")
    )


def _openvino(architecture: str) -> Seq2SeqBackend:
    from model_store.backends.openvino import open_openvino
    from model_store.backends.seq2seq.graph import GraphSeq2Seq
    from model_store.backends.seq2seq.openvino import open_openvino_decoder

    folder = exported(architecture) / "onnx"
    return GraphSeq2Seq(
        open_openvino(folder / "encoder.onnx"), open_openvino_decoder(folder / "decoder.onnx")
    )


OPENERS: dict[str, Callable[[str], Seq2SeqBackend]] = {
    "torch": _torch,
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
}
EVERY = [
    pytest.param(name, architecture, marks=[] if architecture in QUICK else pytest.mark.e2e)
    for name in OPENERS
    for architecture in ARCHITECTURES
]
SOME = [(name, architecture) for name in OPENERS for architecture in QUICK]


@cache
def opened(name: str, architecture: str) -> Seq2SeqBackend:
    return OPENERS[name](architecture)


@cache
def reference(architecture: str) -> Any:
    return load_model(exported(architecture), Task.TEXT2TEXT_GENERATION)


@cache
def sources(tokens: tuple[int, ...] = (19, 4, 11, 30)) -> Tensors:
    random = np.random.default_rng(2)
    mask = (np.arange(max(tokens)) < np.array(tokens)[:, None]).astype(np.int64)
    return {
        "input_ids": np.where(mask, random.integers(3, VOCABULARY, mask.shape), 1),
        "attention_mask": mask,
    }


def greedy(rows: DecoderRows, steps: int, first: int = 0) -> tuple[Array, Array]:
    """Ids and logits, ``(rows, steps)`` and ``(rows, steps, vocabulary)``."""
    ids, logits = [np.full(len(rows), first)], []
    for _ in range(steps):
        logits.append(rows.step(ids[-1]).copy())
        ids.append(logits[-1].argmax(axis=1))
    return np.stack(ids[1:], axis=1), np.stack(logits, axis=1)


def alone(backend: Seq2SeqBackend, text: int, ids: list[int]) -> Array:
    """Logits of one row, fed with given ids and nobody beside it."""
    rows = backend.rows()
    rows.add(backend.encode(sources()), text)
    return np.stack([rows.step(np.array([id]))[0].copy() for id in ids])


@pytest.mark.parametrize(("name", "architecture"), EVERY)
def test_greedy_tokens_are_those_of_generate(name: str, architecture: str) -> None:
    backend, model = opened(name, architecture), reference(architecture)
    inputs = sources()
    source = backend.encode(inputs)
    assert len(source) == 4
    rows = backend.rows()
    for text in range(4):
        rows.add(source, text)
    ids, _ = greedy(rows, NEW_TOKENS)
    expected = model.generate(
        **{key: torch.from_numpy(array) for key, array in inputs.items()},
        max_new_tokens=NEW_TOKENS,
        min_new_tokens=NEW_TOKENS,
        do_sample=False,
        num_beams=1,
        eos_token_id=None,
    )
    np.testing.assert_array_equal(ids, expected[:, 1:].numpy())
    # The texts are answered differently, so that mixed-up rows would be seen.
    assert len({tuple(row) for row in ids.tolist()}) >= 3


@pytest.mark.parametrize(("name", "architecture"), SOME)
def test_rows_that_come_and_go_change_nothing_for_their_neighbours(
    name: str, architecture: str
) -> None:
    backend = opened(name, architecture)
    source, random = backend.encode(sources()), np.random.default_rng(5)
    rows, fed, seen, texts = backend.rows(), [], [], []  # type: ignore[var-annotated]
    for step in range(90):
        if step in (0, 1, 7, 8, 40, 41, 70):
            text = len(texts) % 4
            rows.add(source, text)
            texts.append(text)
            fed.append([])
            seen.append([])
        ids = random.integers(3, VOCABULARY, len(rows))
        logits = rows.step(ids)
        for mine, id in zip(fed, ids.tolist(), strict=True):
            mine.append(id)
        for mine, row in zip(seen, logits, strict=True):
            mine.append(row.copy())
        leave = {12: 0, 30: 1, 60: 0, 62: 0}.get(step)
        if leave is not None:
            check(backend, texts[leave], fed[leave], seen[leave])
            kept = [row for row in range(len(rows)) if row != leave]
            rows.select(np.array(kept))
            texts, fed, seen = ([each[row] for row in kept] for each in (texts, fed, seen))
    assert len(rows) == 3
    for text, ids, logits in zip(texts, fed, seen, strict=True):
        check(backend, text, ids, logits)


def check(backend: Seq2SeqBackend, text: int, ids: list[int], logits: list[Array]) -> None:
    np.testing.assert_allclose(np.stack(logits), alone(backend, text, ids), atol=TOLERANCE)


@pytest.mark.parametrize(("name", "architecture"), SOME)
def test_select_repeats_and_reorders_rows_within_and_across_sources(
    name: str, architecture: str
) -> None:
    backend = opened(name, architecture)
    source, random = backend.encode(sources()), np.random.default_rng(6)
    rows = backend.rows()
    rows.add(source, 0, copies=3)
    rows.add(source, 3, copies=2)
    texts, fed = [0, 0, 0, 3, 3], [[] for _ in range(5)]  # type: ignore[var-annotated]
    choices = {
        4: [2, 2, 0, 3, 4],
        5: [1, 0, 0, 4, 4],
        9: [3, 4, 2, 1],
        20: [0, 2],
        33: [1, 0, 0, 1, 1, 0],
        45: [5],
    }
    logits = np.zeros(0)
    for step in range(60):
        ids = random.integers(3, VOCABULARY, len(rows))
        logits = rows.step(ids).copy()
        fed = [[*mine, id] for mine, id in zip(fed, ids.tolist(), strict=True)]
        if step in choices:
            chosen = choices[step]
            rows.select(np.array(chosen))
            texts, fed = [texts[row] for row in chosen], [fed[row] for row in chosen]
            assert len(rows) == len(chosen)
            probe = random.integers(3, VOCABULARY, len(rows))
            logits = rows.step(probe).copy()
            fed = [[*mine, id] for mine, id in zip(fed, probe.tolist(), strict=True)]
            for text, mine, row in zip(texts, fed, logits, strict=True):
                np.testing.assert_allclose(row, alone(backend, text, mine)[-1], atol=TOLERANCE)
    assert texts == [3]
    np.testing.assert_allclose(logits[0], alone(backend, 3, fed[0])[-1], atol=TOLERANCE)


@pytest.mark.parametrize(("name", "architecture"), SOME)
def test_memory_falls_when_rows_leave(name: str, architecture: str) -> None:
    backend = opened(name, architecture)
    source = backend.encode(sources())
    rows = backend.rows()
    assert rows.held_bytes == 0
    held = []
    for _ in range(4):
        for text in range(4):
            rows.add(source, text)
        rows.step(np.zeros(len(rows), np.int64))
        held.append(rows.held_bytes)
    assert held == sorted(held)
    assert held[0] < held[1] < held[-1]
    for _ in range(40):
        rows.step(np.zeros(len(rows), np.int64))
    full = rows.held_bytes
    assert full > held[-1]
    rows.select(np.array([2, 3, 5, 6]))
    for _ in range(12):  # a backend may wait a little for the next rows
        rows.step(np.zeros(4, np.int64))
    assert rows.held_bytes < full * 0.6
    rows.select(np.zeros(0, np.int64))
    assert rows.held_bytes < full * 0.01
    rows.add(source, 1)
    ids = [0, 9, 7]
    logits = np.stack([rows.step(np.array([id]))[0].copy() for id in ids])
    np.testing.assert_allclose(logits, alone(backend, 1, ids), atol=TOLERANCE)


@pytest.mark.parametrize(("name", "architecture"), SOME)
def test_a_row_that_is_not_a_number_does_not_stay_behind(name: str, architecture: str) -> None:
    backend = opened(name, architecture)
    inputs = sources()
    source = backend.encode(inputs)
    broken = backend.encode(inputs)
    with torch.inference_mode():
        broken.arrays[1][2, :, 3] = np.nan  # type: ignore[attr-defined]
    rows = backend.rows()
    rows.add(source, 0)
    rows.add(broken, 2)
    rows.add(source, 3)
    ids = [0, 8, 5, 6]
    for id in ids[:2]:
        logits = rows.step(np.full(3, id)).copy()
        assert np.isnan(logits[1]).all()
    rows.select(np.array([0, 2]))
    rows.add(source, 1)
    for id in ids[2:]:
        logits = rows.step(np.full(3, id)).copy()
    np.testing.assert_allclose(logits[0], alone(backend, 0, ids)[-1], atol=TOLERANCE)
    np.testing.assert_allclose(logits[1], alone(backend, 3, ids)[-1], atol=TOLERANCE)
    np.testing.assert_allclose(logits[2], alone(backend, 1, ids[2:])[-1], atol=TOLERANCE)


@pytest.mark.parametrize(("name", "architecture"), SOME)
def test_backend_describes_itself(name: str, architecture: str) -> None:
    backend = opened(name, architecture)
    assert isinstance(backend, Seq2SeqBackend)
    assert (backend.name, backend.precision, backend.device) == (name, "fp32", "cpu")
    assert backend.batchable
    assert backend.bytes > 0
    layers, heads, dim = 2, *{"bart": (2, 16), "t5": (4, 8)}[architecture]
    assert backend.kv_bytes_per_token == layers * 2 * heads * dim * 4


def test_a_model_in_training_is_left_as_it_was() -> None:
    from model_store.backends.seq2seq.torch import TorchSeq2Seq

    model = tiny_seq2seq_model("bart").train()
    model.model.encoder.layernorm_embedding.eval()
    before = [module.training for module in model.modules()]
    implementation = model.config._attn_implementation
    backend = TorchSeq2Seq(model, "fp32", "cpu")
    rows = backend.rows()
    rows.add(backend.encode(sources()), 0)
    first, _ = greedy(rows, 8)
    again = backend.rows()
    again.add(backend.encode(sources()), 0)
    np.testing.assert_array_equal(first, greedy(again, 8)[0])  # no dropout
    assert [module.training for module in model.modules()] == before
    assert model.config._attn_implementation == implementation
    ids = torch.from_numpy(sources()["input_ids"])
    model(input_ids=ids, labels=ids).loss.backward()
    assert model.lm_head.weight.grad is not None


@pytest.mark.parametrize("architecture", QUICK)
def test_bf16_answers_near_fp32(architecture: str) -> None:
    from model_store.backends.seq2seq.torch import open_torch_seq2seq

    backend = open_torch_seq2seq(exported(architecture), precision="bf16")
    assert backend.precision == "bf16"
    ids = [0, 5, 9, 200, 30]
    found, expected = alone(backend, 3, ids), alone(opened("torch", architecture), 3, ids)
    assert found.dtype == np.float32
    assert np.abs(found - expected).mean() < 0.5 < expected.std()
