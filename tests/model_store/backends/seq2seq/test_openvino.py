"""The decoder that keeps its own cache: whoever shares the batch, a row gets its own logits."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from contracts.tasks import Task
from contracts.tensors import Array
from model_store.backends.openvino import open_openvino
from model_store.backends.seq2seq.openvino import (
    OpenVinoRows,
    open_openvino_decoder,
)
from model_store.backends.seq2seq.row_table import EncodedTexts
from model_store.backends.torch import load_model
from tests.model_store.backends.seq2seq.exports import EVERY, exported

TOLERANCE = 1e-3
"""Of logits with a standard deviation of about 6, absolute: what float32 leaves."""

LENGTHS = (21, 3, 9, 14, 1, 20, 35)


@dataclass
class Row:
    """A row's life: what it read, what it was told, what it answered."""

    text: int
    tokens: list[int] = field(default_factory=list)
    logits: list[Array] = field(default_factory=list)

    def copy(self) -> "Row":
        return Row(self.text, list(self.tokens), list(self.logits))


@cache
def source_ids() -> tuple[Array, Array]:
    random = np.random.default_rng(5)
    mask = (np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]).astype(np.int64)
    return np.where(mask == 1, random.integers(3, 120, mask.shape), 1), mask


@cache
def model_of(architecture: str) -> Any:
    return load_model(exported(architecture), Task.TEXT2TEXT_GENERATION)


@cache
def texts_of(architecture: str) -> EncodedTexts:
    ids, mask = source_ids()
    encoder = open_openvino(exported(architecture) / "onnx" / "encoder.onnx")
    return EncodedTexts(
        list(encoder.run({"input_ids": ids, "attention_mask": mask}).values()), mask
    )


@cache
def decoder_of(architecture: str, precision: str = "fp32") -> Any:
    path = exported(architecture) / "onnx" / "decoder.onnx"
    return open_openvino_decoder(path, precision=precision)


def vocabulary(architecture: str) -> int:
    return int(model_of(architecture).get_output_embeddings().weight.shape[0])


def worst_error(architecture: str, row: Row) -> float:
    """Against the whole model, told the same tokens."""
    ids, mask = (torch.from_numpy(array[row.text : row.text + 1]) for array in source_ids())
    with torch.inference_mode():
        expected = model_of(architecture)(
            input_ids=ids,
            attention_mask=mask,
            decoder_input_ids=torch.tensor([row.tokens]),
            decoder_attention_mask=torch.ones(1, len(row.tokens), dtype=torch.long),
        ).logits[0]
    return float(np.abs(np.stack(row.logits) - expected.numpy()).max())


class Traffic:
    """Rows that join, leave and change places at random."""

    def __init__(self, architecture: str, rows: OpenVinoRows, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.texts, self.rows = texts_of(architecture), rows
        self.vocabulary = vocabulary(architecture)
        self.live: list[Row] = []

    def join(self, text: int, copies: int = 1) -> None:
        self.rows.add(self.texts, text, copies)
        self.live += [Row(text) for _ in range(copies)]

    def step(self) -> None:
        ids = [
            int(self.random.integers(3, self.vocabulary)) if row.tokens else 0 for row in self.live
        ]
        logits = self.rows.step(np.array(ids, dtype=np.int64))
        assert logits.shape == (len(self.live), self.vocabulary)
        for row, token, own in zip(self.live, ids, logits, strict=True):
            row.tokens.append(token)
            row.logits.append(own.copy())

    def select(self, rows: list[int]) -> None:
        self.rows.select(np.array(rows, dtype=np.int64))
        self.live = [self.live[row].copy() for row in rows]
        assert len(self.rows) == len(self.live)

    def move(self, most: int, longest: int) -> Iterator[Row]:
        """Some join, some leave; yields those that left."""
        if self.live and self.random.random() < 0.4:
            live = np.arange(len(self.live))
            stay = [row for row in live if self.random.random() < 0.85]
            stay = [row for row in stay if len(self.live[row].tokens) < longest]
            # As beams do: one that goes on twice takes the place of a row of the same text.
            for place, row in enumerate(stay):
                same = [each for each in stay if self.live[each].text == self.live[row].text]
                if self.random.random() < 0.5:
                    stay[place] = same[int(self.random.integers(len(same)))]
            yield from [self.live[row] for row in live if row not in stay]
            self.select([int(row) for row in self.random.permutation(stay)])
        if not self.live or (len(self.live) < most and self.random.random() < 0.4):
            self.join(int(self.random.integers(len(LENGTHS))), int(self.random.integers(1, 4)))


@pytest.mark.parametrize("architecture", EVERY)
def test_greedy_tokens_equal_those_of_generate(architecture: str) -> None:
    ids, mask = source_ids()
    model = model_of(architecture)
    steps = 40
    expected = model.generate(
        input_ids=torch.from_numpy(ids),
        attention_mask=torch.from_numpy(mask),
        max_new_tokens=steps,
        min_new_tokens=steps,
        do_sample=False,
        num_beams=1,
    ).numpy()
    rows = decoder_of(architecture).rows()
    for text in range(len(LENGTHS)):
        rows.add(texts_of(architecture), text)
    newest = np.full(len(LENGTHS), expected[0, 0])
    for step in range(1, steps + 1):
        logits = rows.step(newest).copy()
        logits[:, 2] = -np.inf  # the end, which `generate` was told to leave out
        newest = logits.argmax(-1)
        np.testing.assert_array_equal(newest, expected[:, step])


@pytest.mark.parametrize("architecture", EVERY)
def test_a_row_gets_its_own_logits_whoever_joins_leaves_or_changes_places(
    architecture: str,
) -> None:
    traffic = Traffic(architecture, decoder_of(architecture).rows(), seed=1)
    gone: list[Row] = []
    for _ in range(120):
        gone += traffic.move(most=9, longest=40)
        traffic.step()
    gone += traffic.live
    assert len(gone) > 40
    assert max(len(row.tokens) for row in gone) > 30
    assert max(worst_error(architecture, row) for row in gone if row.tokens) < TOLERANCE
