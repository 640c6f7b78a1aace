"""PyTorch: the model's own code, one token per row, with caches that are written in place.

Works around a loaded checkpoint or around a model in training, which is left as it was.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from contracts.tasks import Task
from contracts.tensors import Array, Tensors
from model_store.backends.seq2seq.row_table import EncodedTexts, RowTable
from model_store.backends.seq2seq.steps import (
    EncoderGraph,
    PastLayer,
    additive,
    decode_step,
)
from model_store.backends.torch import DTYPES, load_model

FIRST_COLUMNS = 32
"""Columns that a cache begins with; it doubles."""


class TorchSeq2Seq:
    """A transformers model that generates."""

    name = "torch"
    batchable = True

    def __init__(self, model: Any, precision: str, device: str) -> None:
        """Wrap a model; its weights are shared.

        Args:
            model: loaded, or in training.
            precision: ``fp32``, ``bf16`` or ``fp16``: what its weights are.
            device: ``cpu`` or ``cuda``: where they are.

        Raises:
            CheckpointError: its decoder is none that is known.
        """
        self.precision = precision
        self.device = device
        self.bytes = sum(
            tensor.numel() * tensor.element_size()
            for tensor in [*model.parameters(), *model.buffers()]
        )
        self._encoder: EncoderGraph | None = EncoderGraph(model)
        shape = self._encoder.shape
        item = shape.cross[0][0].weight.element_size()
        self.kv_bytes_per_token = 2 * shape.layers * shape.heads * shape.dim * item

    @torch.inference_mode()
    def encode(self, inputs: Tensors) -> EncodedTexts:
        """Read source texts."""
        assert self._encoder is not None
        with _evaluating(self._encoder.model):
            arrays = self._encoder(
                _to(inputs["input_ids"], self.device), _to(inputs["attention_mask"], self.device)
            )
        return EncodedTexts(arrays, inputs["attention_mask"])

    def rows(self) -> "TorchRows":
        """A new running batch."""
        assert self._encoder is not None
        return TorchRows(self._encoder, self.device)

    def close(self) -> None:
        """Free the weights."""
        self._encoder = None
        if self.device == "cuda":
            torch.cuda.empty_cache()


def open_torch_seq2seq(
    folder: Path, *, precision: str = "fp32", device: str = "cpu", threads: int = 1
) -> TorchSeq2Seq:
    """Load a checkpoint's safetensors.

    Args:
        folder: with ``config.json`` and the weights.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        device: ``cpu`` or ``cuda``.
        threads: of the whole process; the last backend loaded decides.

    Raises:
        CheckpointError: transformers cannot load the folder, or weights are missing.
    """
    if device == "cpu":
        torch.set_num_threads(threads)
    dtype = getattr(torch, DTYPES[precision])
    model = load_model(folder, Task.TEXT2TEXT_GENERATION, dtype=dtype)
    return TorchSeq2Seq(model.to(device), precision, device)


class TorchRows:
    """A running batch over two blocks of memory.

    The self-attention's block is ``(layers, 2, rows, heads, columns, dim)``. All rows write their
    newest column at one common cursor; what a step reads are the columns of the longest row, up
    to the cursor. The cross-attention's block has source tokens instead of columns.
    """

    def __init__(self, encoder: EncoderGraph, device: str) -> None:
        self._model, self._shape, self._device = encoder.model, encoder.shape, device
        self._table = RowTable()
        self._own = self._cross = self._block(0, 0)
        self._cursor = 0
        self._host: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self._table)

    @property
    def held_bytes(self) -> int:
        """Memory of both blocks."""
        return sum(block.numel() * block.element_size() for block in (self._own, self._cross))

    @torch.inference_mode()
    def add(self, source: EncodedTexts, index: int, copies: int = 1) -> None:
        """Append rows that read one source and have decoded nothing yet."""
        first, tokens = len(self), int(source.lengths[index])
        self._table.add(source, index, copies)
        self._make_rows(first)
        if self._table.source_width > self._cross.shape[4]:
            self._cross = self._moved(
                self._cross, self._cross.shape[2], self._table.source_width, rows=first
            )
        there = self._cross[:, :, first : len(self)]
        for number, array in enumerate(source.arrays):
            assert isinstance(array, torch.Tensor)
            there[number // 2, number % 2, :, :, :tokens] = array[index, :, :tokens]
        # What lies at masked places counts nothing, but only if it is a number.
        there[:, :, :, :, tokens:] = 0
        self._own[:, :, first : len(self)] = 0

    @torch.inference_mode()
    def step(self, ids: Array) -> Array:
        """Decode one token in every row."""
        width = self._table.width
        if self._cursor == self._own.shape[4]:
            self._make_columns(width)
        rows, start = len(self), self._cursor - width
        layers = [
            _InPlaceLayer(layer[0, :rows], layer[1, :rows], start, self._cursor)
            for layer in self._own
        ]
        sources = self._table.source_width
        cross = [
            (layer[0, :rows, :, :sources], layer[1, :rows, :, :sources]) for layer in self._cross
        ]
        lengths = _to(self._table.lengths, self._device)
        source_lengths = _to(self._table.source_lengths, self._device)
        columns = torch.arange(width + 1, device=self._device)
        tokens = torch.arange(sources, device=self._device)
        dtype = self._own.dtype
        with _evaluating(self._model):
            logits = decode_step(
                self._model,
                _to(ids, self._device)[:, None],
                lengths if self._shape.has_positions else None,
                additive(columns >= width - lengths[:, None], dtype),
                additive(tokens < source_lengths[:, None], dtype),
                layers,
                cross,
            )
        self._cursor += 1
        self._table.advance()
        return self._on_host(logits)

    @torch.inference_mode()
    def select(self, rows: Array) -> None:
        """Let row ``i`` be what row ``rows[i]`` was; what is not named is dropped."""
        before, first = self._cursor - self._table.width, len(self)
        own, cross = self._table.select(rows)
        if len(rows) > self._own.shape[2]:
            self._make_rows(first)
        for block, (to, old), window in (
            (self._own, own, slice(before, self._cursor)),
            (self._cross, cross, slice(0, None)),
        ):
            if len(to):
                index, origin = _to(to, self._device), _to(old, self._device)
                block[:, :, index, :, window] = block[:, :, origin, :, window]
        if not len(self):
            self._own = self._cross = self._block(0, 0)
            self._cursor, self._host = 0, None
        elif len(self) <= self._own.shape[2] // 4:
            self._resize_rows(2 * len(self), len(self))

    def _make_rows(self, held: int) -> None:
        """Room for as many rows as the table has.

        Args:
            held: rows whose columns are kept.
        """
        if len(self) > self._own.shape[2]:
            self._resize_rows(max(len(self), 2 * self._own.shape[2]), held)

    def _resize_rows(self, capacity: int, held: int) -> None:
        self._own = self._moved(self._own, capacity, self._own.shape[4], rows=held)
        self._cross = self._moved(self._cross, capacity, self._table.source_width, rows=held)

    def _make_columns(self, width: int) -> None:
        """Move the live columns to the front, of a block with room for as many again."""
        capacity = max(FIRST_COLUMNS, 2 * (width + 1))
        live = self._own[:, :, : len(self), :, self._cursor - width : self._cursor]
        block = self._block(self._own.shape[2], capacity)
        block[:, :, : len(self), :, :width] = live
        self._own, self._cursor = block, width

    def _moved(self, block: torch.Tensor, rows_: int, columns: int, *, rows: int) -> torch.Tensor:
        """A copy with another capacity, of the first ``rows``."""
        fresh = self._block(rows_, columns)
        kept = min(columns, block.shape[4])
        fresh[:, :, :rows, :, :kept] = block[:, :, :rows, :, :kept]
        return fresh

    def _block(self, rows: int, columns: int) -> torch.Tensor:
        shape = self._shape
        dtype = shape.cross[0][0].weight.dtype
        sizes = (shape.layers, 2, rows, shape.heads, columns, shape.dim)
        return torch.zeros(sizes, dtype=dtype, device=self._device)

    def _on_host(self, logits: torch.Tensor) -> Array:
        """float32 on the CPU; from a GPU through memory that it writes directly."""
        logits = logits.float()
        if self._device == "cpu":
            return logits.numpy()
        if self._host is None or len(self._host) < len(logits):
            capacity = self._own.shape[2]
            self._host = torch.empty((capacity, logits.shape[1]), pin_memory=True)
        there = self._host[: len(logits)]
        there.copy_(logits, non_blocking=True)
        torch.cuda.current_stream().synchronize()
        return there.numpy()


class _InPlaceLayer(PastLayer):
    """A layer whose new column is written behind its past, where attention reads both at once."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, start: int, cursor: int) -> None:
        super().__init__(keys[:, :, start:cursor], values[:, :, start:cursor])
        self._blocks, self._window, self._cursor = (keys, values), slice(start, cursor + 1), cursor

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any) -> Any:
        """Write, and hand out what is live."""
        keys, values = self._blocks
        keys[:, :, self._cursor] = key_states[:, :, 0]
        values[:, :, self._cursor] = value_states[:, :, 0]
        return keys[:, :, self._window], values[:, :, self._window]


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Switch dropout off, and exactly what was on back on."""
    training: Sequence[Any] = (
        [module for module in model.modules() if module.training] if model.training else []
    )
    if training:
        model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _to(array: Array, device: str) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
