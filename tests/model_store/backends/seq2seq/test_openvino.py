"""The decoder that keeps its own cache: whoever shares the batch, a row gets its own logits."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import CheckpointError
from contracts.tasks import Task
from contracts.tensors import Array
from model_store.backends.onnxruntime import open_onnxruntime
from model_store.backends.openvino import open_openvino
from model_store.backends.seq2seq.graph import GraphSeq2Seq
from model_store.backends.seq2seq.openvino import (
    PATIENCE,
    SPARE_COLUMNS,
    OpenVinoDecoder,
    OpenVinoRows,
    open_openvino_decoder,
)
from model_store.backends.seq2seq.openvino_sources import (
    SOURCE_LENGTHS,
    rounded_halves,
    rounded_length,
)
from model_store.backends.seq2seq.row_table import EncodedTexts
from model_store.backends.torch import load_model
from model_store.seq2seq_compress import DECODER_INT8, quantize_weights
from model_store.seq2seq_export import DECODER
from tests.model_store.backends.graphs import tiny_graphs
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
    backend = GraphSeq2Seq(encoder, decoder_of(architecture))
    return backend.encode({"input_ids": ids, "attention_mask": mask})


@cache
def decoder_of(architecture: str, precision: str = "fp32") -> OpenVinoDecoder:
    folder = exported(architecture) / "onnx"
    path = folder / DECODER
    if precision == "int8":
        path = quantize_weights(path, Path(mkdtemp()) / DECODER_INT8)
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
    found = np.stack(row.logits)
    assert np.isfinite(found).all()
    return float(np.abs(found - expected.numpy()).max())


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


@given(st.integers(0, 5000))
def test_sources_are_filled_up_to_few_lengths(tokens: int) -> None:
    length = rounded_length(tokens)
    assert tokens <= length <= max(16, tokens * 3 // 2, tokens + SOURCE_LENGTHS[-1] - 1)
    assert rounded_length(length) == length
    assert length in SOURCE_LENGTHS or length % SOURCE_LENGTHS[-1] == 0


def test_floats_are_halved_to_the_nearest() -> None:
    drawn = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    array = np.concatenate([drawn, drawn * 1e30, drawn * 1e-30, [0.0, -0.0, np.inf, -np.inf]])
    array = array.astype(np.float32).reshape(2, -1)
    expected = torch.from_numpy(array).bfloat16()
    np.testing.assert_array_equal(rounded_halves(array).view(np.int16), expected.view(torch.int16))
    wide = rounded_halves(np.array([np.nan], dtype=np.float32)).astype(np.uint32) << 16
    assert np.isnan(wide.view(np.float32)).all()


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


def test_the_oldest_row_leaves_and_its_columns_with_it() -> None:
    traffic = Traffic("t5", decoder_of("t5").rows(), seed=2)
    traffic.join(0)
    old = 2 * SPARE_COLUMNS
    for _ in range(old):
        traffic.step()
    traffic.join(2)
    for _ in range(3):
        traffic.step()
    before = traffic.rows.held_bytes
    traffic.select([1])
    for _ in range(PATIENCE + 2):
        traffic.step()
    # Two slots of old + 3 columns before; one of a handful now.
    assert traffic.rows.held_bytes < before / 4
    assert worst_error("t5", traffic.live[0]) < TOLERANCE


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_memory_falls_when_rows_leave_and_is_gone_when_all_have(precision: str) -> None:
    traffic = Traffic("bart", decoder_of("bart", precision).rows(), seed=3)
    assert traffic.rows.held_bytes == 0
    for text in (6, 1, 1, 4, 4):
        traffic.join(text)
    full = traffic.rows.held_bytes
    # Five rows are rounded up to six, 35 tokens to 48: keys and values, 2 layers of 2 x 16 floats.
    assert full == 6 * 48 * 2 * 2 * 32 * (4 if precision == "fp32" else 2)
    traffic.step()
    assert traffic.rows.held_bytes == full * 49 // 48
    traffic.select([1, 3])
    for _ in range(PATIENCE + 1):
        traffic.step()
    assert traffic.rows.held_bytes < full / 3
    traffic.select([])
    assert len(traffic.rows) == traffic.rows.held_bytes == 0


@pytest.mark.parametrize("again", [[0, 0, 0, 0, 0], [1, 0, 1, 1], [1, 1, 1, 0]])
def test_a_row_can_be_continued_more_often_than_its_text_has_rows(again: list[int]) -> None:
    traffic = Traffic("bart", decoder_of("bart").rows(), seed=4)
    traffic.join(0)
    traffic.join(2)
    traffic.step()
    traffic.select(again)
    traffic.join(1)
    for _ in range(3):
        traffic.step()
    traffic.select([*range(len(traffic.live))][::-1])
    traffic.step()
    assert max(worst_error("bart", row) for row in traffic.live) < TOLERANCE


def test_rows_can_change_between_any_two_calls() -> None:
    traffic = Traffic("bart", decoder_of("bart").rows(), seed=5)
    traffic.join(0, 2)
    traffic.step()
    traffic.join(2)
    traffic.select([2, 1])
    traffic.select([1, 0])
    traffic.join(6, 3)
    traffic.step()
    traffic.select([1, 3, 2])
    # All that ever took a step leave, and others stay that have not: the past begins again.
    traffic.join(1)
    traffic.select([3])
    traffic.join(3)
    for _ in range(3):
        traffic.step()
    assert [row.text for row in traffic.live] == [1, 3]
    assert max(worst_error("bart", row) for row in traffic.live) < TOLERANCE


@pytest.mark.parametrize("joins_first", [True, False])
@pytest.mark.parametrize("place", [0, 1])
def test_a_broken_row_that_left_breaks_nobody_after_it(place: int, joins_first: bool) -> None:
    traffic = Traffic("bart", decoder_of("bart").rows(), seed=6)
    nothing = [np.full_like(array, np.nan) for array in traffic.texts.arrays]
    broken = EncodedTexts(nothing, traffic.texts.mask)
    if place == 0:
        traffic.rows.add(broken, 6)
    traffic.join(0)
    if place == 1:
        traffic.rows.add(broken, 6)
    logits = traffic.rows.step(np.zeros(2, dtype=np.int64)).copy()
    assert np.isnan(logits[place]).all()
    traffic.live[0].tokens.append(0)
    traffic.live[0].logits.append(logits[1 - place])
    if joins_first:
        traffic.join(1)
        traffic.rows.select(np.array([1 - place, 2]))
    else:  # the short text comes to stand where the broken one stood
        traffic.rows.select(np.array([1 - place]))
        traffic.join(1)
    for _ in range(3):
        traffic.step()
    assert max(worst_error("bart", row) for row in traffic.live) < TOLERANCE


def test_two_batches_of_one_decoder_do_not_meet() -> None:
    first, second = (Traffic("bart", decoder_of("bart").rows(), seed) for seed in (7, 8))
    first.join(0)
    first.step()
    second.join(2, 2)
    for _ in range(3):
        second.step()
        first.step()
    assert max(worst_error("bart", row) for row in [*first.live, *second.live]) < TOLERANCE


def test_thousands_of_joins_and_leaves_do_not_let_memory_grow() -> None:
    traffic = Traffic("bart", decoder_of("bart").rows(), seed=9)
    process, resident, held = psutil.Process(), [], []
    for _ in range(4):
        for _ in range(250):
            for _ in traffic.move(most=12, longest=60):
                pass
            for row in traffic.live:
                row.logits.clear()
            traffic.step()
            held.append(traffic.rows.held_bytes)
        resident.append(process.memory_info().rss)
    # 16 slots of 48 source tokens and the longest row's columns with those that may be spare.
    assert max(held) <= 16 * (48 + 60 * 3 // 2 + SPARE_COLUMNS + 1) * 2 * 2 * 32 * 4
    assert resident[-1] - resident[1] < 48 << 20


def greedy(architecture: str, precision: str, texts: list[int], steps: int) -> Array:
    """Logits ``(steps, rows, vocabulary)``, each row told what fp32 would say."""
    leader, follower = (decoder_of(architecture, each).rows() for each in ("fp32", precision))
    for text in texts:
        for rows in (leader, follower):
            rows.add(texts_of(architecture), text)
    ids, found = np.zeros(len(texts), dtype=np.int64), []
    for _ in range(steps):
        expected = leader.step(ids)
        found.append(follower.step(ids).copy())
        ids = expected.argmax(-1)
    return np.stack(found)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
@pytest.mark.parametrize("architecture", EVERY)
def test_less_precision_answers_nearly_the_same_alone_and_in_company(
    architecture: str, precision: str
) -> None:
    texts, steps = [0, 2, 5, 6, 3], 20
    exact = greedy(architecture, "fp32", texts, steps)
    found = greedy(architecture, precision, texts, steps)
    alone = np.concatenate(
        [greedy(architecture, precision, [text], steps) for text in texts], axis=1
    )
    spread = exact.std()
    print(
        architecture, precision, np.abs(found - exact).std() / spread, np.abs(found - alone).max()
    )
    assert np.abs(found - exact).std() < 0.15 * spread
    assert np.abs(found - alone).max() < TOLERANCE * spread


def test_what_is_no_decoder_step_is_refused(tmp_path: Path) -> None:
    folder = exported("bart") / "onnx"
    with pytest.raises(CheckpointError, match="no fp16"):
        open_openvino_decoder(folder / "decoder.onnx", precision="fp16")
    with pytest.raises(CheckpointError, match="export the checkpoint again"):
        open_openvino_decoder(folder / "encoder.onnx")
    with pytest.raises(CheckpointError, match="export the checkpoint again"):
        open_openvino_decoder(tiny_graphs().fp32)
    (tmp_path / "a.onnx").write_bytes(b"not a graph")
    with pytest.raises(CheckpointError, match="cannot be compiled by OpenVINO"):
        open_openvino_decoder(tmp_path / "a.onnx")


def test_the_compiled_decoder_is_kept(tmp_path: Path) -> None:
    path = exported("bart") / "onnx" / "decoder.onnx"
    for _ in range(2):
        decoder = open_openvino_decoder(path, precision="bf16", cache_folder=tmp_path)
        traffic = Traffic("bart", decoder.rows(), seed=10)
        traffic.join(0)
        traffic.step()
        assert len(list(tmp_path.glob("*.blob"))) == 1
    assert np.isfinite(traffic.live[0].logits).all()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_encoder_runs_with_rows_that_are_filled_up(precision: str) -> None:
    ids, mask = source_ids()
    path = exported("bart") / "onnx" / "encoder.onnx"
    inputs = {"input_ids": ids, "attention_mask": mask}
    encoder = open_openvino(path, precision=precision)
    assert len(ids) == 7  # of 8 that are run
    found = encoder.run(inputs)
    exact = open_onnxruntime(path).run(inputs)
    assert found.keys() == exact.keys()
    live = mask.astype(bool)
    for name, array in found.items():
        assert array.shape == exact[name].shape
        error = np.abs(array - exact[name]).swapaxes(1, 2)[live]
        assert error.max() < (1e-4 if precision == "fp32" else 0.1) * exact[name].std()
