"""Seconds of the two parts of a generating version, as ``model_store.measure`` asks for them."""

import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from model_store.backends.seq2seq.base import DecoderRows, Source
from model_store.backends.seq2seq.graph import Decoder
from model_store.backends.seq2seq.load import open_decoder, open_encoder, open_torch_whole
from model_store.backends.seq2seq.row_table import EncodedTexts
from model_store.choose import Candidate
from model_store.export import sample_inputs
from model_store.version import ModelVersion

SOURCE_TOKENS = 128
ROWS = (1, 8)
"""A lone text, and those that are read or answered together under load."""

STEPS = 24
BUDGET_S = 1.2
"""For each part and number of rows, after a warm-up."""


def measure_part(
    version: ModelVersion, candidate: Candidate, threads: int, vocabulary: int
) -> dict[str, float]:
    """Seconds of a lone row (``lone_s``) and of one of several (``row_s``).

    Of an encoder: to read a text. Of a decoder: for one token.

    Raises:
        CheckpointError: the runtime refuses.
    """
    tokens = min(SOURCE_TOKENS, version.manifest.max_tokens)
    texts = [sample_inputs(vocabulary, rows, tokens) for rows in ROWS]
    if candidate.backend == "torch":
        whole = open_torch_whole(version, candidate, threads)
        if candidate.part == "encoder":
            times = [_seconds(partial(whole.encode, inputs)) for inputs in texts]
        else:
            times = [_step_seconds(whole.rows, whole.encode(texts[0]), rows) for rows in ROWS]
        whole.close()
    elif candidate.part == "encoder":
        encoder = open_encoder(version, candidate, threads)
        times = [_seconds(partial(encoder.run, inputs)) for inputs in texts]
        encoder.close()
    else:
        decoder = open_decoder(version, candidate, threads)
        source = _any_text(decoder, tokens)
        times = [_step_seconds(decoder.rows, source, rows) for rows in ROWS]
        decoder.close()
    return {"lone_s": times[0], "row_s": times[1] / ROWS[1]}


def _seconds(call: Callable[[], object]) -> float:
    """The median over runs: the machine may be shared."""
    call()
    began, times = time.perf_counter(), list[float]()
    while len(times) < 3 or time.perf_counter() - began < BUDGET_S:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _step_seconds(batch: Callable[[], DecoderRows], source: Source, count: int) -> float:
    """The median over steps, of answers that all begin with empty caches."""
    began, times = time.perf_counter(), list[float]()
    while len(times) < 2 * STEPS or time.perf_counter() - began < BUDGET_S:
        rows = batch()
        rows.add(source, 0, count)
        for _ in range(STEPS):
            start = time.perf_counter()
            rows.step(np.full(count, 3, np.int64))
            times.append(time.perf_counter() - start)
    return statistics.median(times[STEPS:])


def _any_text(decoder: Decoder, tokens: int) -> EncodedTexts:
    """One text as an encoder might give it."""
    layers, heads, dim = decoder.cache_shape
    random = np.random.default_rng(0)
    arrays = random.standard_normal((2 * layers, 1, heads, tokens, dim)).astype(np.float32)
    return EncodedTexts(list(arrays), np.ones((1, tokens), np.int64))
