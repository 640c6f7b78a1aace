"""ONNX Runtime: decoder steps on caches that are bound where they lie."""

from pathlib import Path
from typing import Any

import numpy as np

from contracts.errors import CheckpointError
from contracts.tensors import IDS, Array
from model_store.backends.onnxruntime import is_dynamic_int8, open_session
from model_store.backends.seq2seq.caches import SlidingCache, SourceCache
from model_store.backends.seq2seq.row_table import EncodedTexts, RowTable


class OnnxRuntimeDecoder:
    """A session of ``decoder.onnx``."""

    name = "onnxruntime"
    batchable = True

    def __init__(self, path: Path, precision: str, device: str, session: Any) -> None:
        """Wrap a session; see ``open_onnxruntime_decoder``."""
        self.precision = precision
        self.device = device
        self.bytes = path.stat().st_size
        self._session: Any = session
        shapes = {each.name: each.shape for each in session.get_inputs()}
        _, heads, _, dim = shapes["past_key_0"]
        layers = sum(name.startswith("past_key_") for name in shapes)
        self.cache_shape = (layers, int(heads), int(dim))
        self.kv_bytes_per_token = 2 * 4 * layers * int(heads) * int(dim)

    def rows(self) -> "OnnxRuntimeRows":
        """A new running batch."""
        return OnnxRuntimeRows(self._session, self.device)

    def close(self) -> None:
        """Free the session with its weights, arena and threads."""
        self._session = None


def open_onnxruntime_decoder(
    path: Path, *, precision: str = "fp32", device: str = "cpu", threads: int = 1
) -> OnnxRuntimeDecoder:
    """Create a session of one decoder step.

    Args:
        path: ``decoder.onnx`` or ``decoder_int8.onnx``.
        precision: ``fp32`` or ``int8``, what the file holds.
        device: ``cpu``, or ``cuda``: there the caches stay in the host's memory and cross at every
            step, so torch is the better choice.
        threads: of this session.

    Raises:
        CheckpointError: the file is refused, is no decoder step, or quantises while it runs.
    """
    if is_dynamic_int8(path):
        raise CheckpointError(
            f"{path} quantises whole batches as they come, so that answers would depend on their "
            "neighbours; make int8 with `tuneserve export`."
        )
    session = open_session(path, precision=precision, device=device, threads=threads)
    names = {each.name for each in session.get_inputs()}
    if not {"input_ids", "past_mask", "source_mask", "past_key_0", "cross_key_0"} <= names:
        raise CheckpointError(
            f"{path} is no decoder step with a cache; export it with `tuneserve export`."
        )
    return OnnxRuntimeDecoder(path, precision, device, session)


class OnnxRuntimeRows:
    """A running batch: two caches, and a binding that points into them."""

    def __init__(self, session: Any, device: str) -> None:
        self._session, self._device = session, device
        inputs = {each.name: each for each in session.get_inputs()}
        layers = sum(name.startswith("past_key_") for name in inputs)
        _, heads, _, dim = inputs["past_key_0"].shape
        parts = [(part, layer) for layer in range(layers) for part in ("key", "value")]
        self._past = [f"past_{part}_{layer}" for part, layer in parts]
        self._cross = [f"cross_{part}_{layer}" for part, layer in parts]
        self._new = [f"{part}_{layer}" for part, layer in parts]
        self._has_positions = "positions" in inputs
        self._vocabulary = int(session.get_outputs()[0].shape[1])
        self._heads, self._dim = int(heads), int(dim)
        self._table = RowTable()
        self._columns = SlidingCache(len(parts), self._heads, self._dim)
        self._sources = SourceCache(len(parts), self._heads, self._dim)
        self._binding: Any = session.io_binding()
        self._bound = -1
        """Rows that sources and outputs are bound for; -1: they must be bound anew."""
        self._columns_out = np.zeros((len(parts), 0), np.float32)
        self._logits = np.zeros((0, self._vocabulary), np.float32)

    def __len__(self) -> int:
        return len(self._table)

    @property
    def held_bytes(self) -> int:
        """Memory of both caches."""
        return self._columns.bytes + self._sources.bytes

    def add(self, source: EncodedTexts, index: int, copies: int = 1) -> None:
        """Append rows that read one source and have decoded nothing yet."""
        first, tokens = len(self), int(source.lengths[index])
        self._table.add(source, index, copies)
        self._sources.fit(first, len(self), self._table.source_width)
        arrays = [np.asarray(array) for array in source.arrays]
        self._sources.write(first, copies, arrays, index, tokens)
        self._columns.make_rows(first, len(self))
        self._bound = -1

    def step(self, ids: Array) -> Array:
        """Decode one token in every row."""
        rows, table, binding = len(self), self._table, self._binding
        self._columns.make_column(rows, table.width)
        if self._bound != rows:
            self._bind_outputs(rows)
            self._bind(self._cross, self._sources.array(rows))
            self._source_mask = table.source_mask(self._sources.tokens)
            binding.bind_cpu_input("source_mask", self._source_mask)
            self._bound = rows
        self._bind(self._past, self._columns.array(rows))
        # The binding reads the arrays where they lie, so they must live until the step is done.
        fed = {
            "input_ids": np.ascontiguousarray(ids, IDS).reshape(rows, 1),
            "past_mask": table.past_mask(self._columns.columns),
        }
        if self._has_positions:
            fed["positions"] = table.lengths
        for name, array in fed.items():
            binding.bind_cpu_input(name, array)
        self._session.run_with_iobinding(binding)
        self._columns.append(
            self._columns_out.reshape(len(self._new), rows, self._heads, self._dim)
        )
        table.advance()
        return self._logits

    def select(self, rows: Array) -> None:
        """Let row ``i`` be what row ``rows[i]`` was; what is not named is dropped."""
        held = len(self)
        own, cross = self._table.select(rows)
        if len(rows) > held:
            self._sources.fit(held, len(rows), self._table.source_width)
            self._columns.make_rows(held, len(rows))
        self._columns.move(own)
        self._sources.move(cross)
        moved = self._sources.fit(len(self), len(self), self._table.source_width)
        self._columns.make_rows(len(self), len(self))
        if moved or len(cross[0]) or len(rows) != held:
            self._bound = -1

    def _bind_outputs(self, rows: int) -> None:
        self._logits = np.empty((rows, self._vocabulary), np.float32)
        self._columns_out = np.empty((len(self._new), rows, self._heads, 1, self._dim), np.float32)
        outputs = zip(self._new, self._columns_out, strict=True)
        for name, array in (("logits", self._logits), *outputs):
            self._binding.bind_output(
                name, "cpu", 0, np.float32, list(array.shape), array.ctypes.data
            )

    def _bind(self, names: list[str], arrays: Array) -> None:
        """Let the session read memory of ours; on another device a copy of it."""
        shape = list(arrays.shape[1:])
        begin, stride = arrays.ctypes.data, arrays.strides[0]
        for number, name in enumerate(names):
            if self._device == "cpu":
                place = begin + number * stride
                self._binding.bind_input(name, "cpu", 0, np.float32, shape, place)
            else:
                self._binding.bind_cpu_input(name, np.ascontiguousarray(arrays[number]))
