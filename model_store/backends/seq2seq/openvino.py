"""OpenVINO: the decoder's ONNX file, rewritten to keep its cache between steps, on the CPU.

fp32 computes as the file says. bf16 computes, and holds every cache, in bfloat16. int8 is the
published ``decoder_int8.onnx``, whose weights (``MatMulNBits``, an operator of ONNX Runtime's that
OpenVINO reads too) meet activations that are rounded to int8 in groups of one row's; the rest is
bf16 where the CPU has it.

A row has a slot, and the number of slots is rounded up (see ``ROW_COUNTS``): a slot that is left
is taken by the next row without moving its neighbours. The slots' cache grows by one column a
step, for all of them, and lies in OpenVINO's states; ``beam_idx`` says which slot's cache each
slot continues. So neither leaving, joining nor reordering copies a cache: a row that joins
continues any live row's, of which it sees nothing, since all its columns are masked. Its own stand
last, as everyone's do. Columns that nobody needs any more are cut off once there are many.

Nothing else may stand in such a column but finite numbers, as a masked NaN is still NaN: a row
whose logits are not finite must leave before the next step.
"""

from pathlib import Path
from typing import Any

import numpy as np

from contracts.errors import CheckpointError
from contracts.tensors import IDS, Array, Tensors
from model_store.backends.openvino import compile_options, rounded_rows
from model_store.backends.seq2seq.base import Source
from model_store.backends.seq2seq.openvino_graph import BEAMS, stateful
from model_store.backends.seq2seq.openvino_sources import SourceSlots, rounded_length
from model_store.backends.seq2seq.row_table import EncodedTexts

PRECISIONS = ("fp32", "bf16", "int8")

PATIENCE = 8
"""Steps for which slots or lengths may be too large before they are given back, unless they are
twice too large: it moves every cache, and the next row often comes at once."""

SPARE_COLUMNS = 64
"""Columns that nobody needs, beyond half of those that somebody does, before they are cut off:
cutting moves every cache once, which takes as long as several steps."""

_FRESH = -1
"""Instead of a slot: continues nothing."""

_NO_TEXT = -1


class OpenVinoDecoder:
    """A compiled decoder; each running batch has a request, and so states, of its own."""

    name = "openvino"
    device = "cpu"
    batchable = True

    def __init__(self, path: Path, precision: str, compiled: Any, *, bf16: bool) -> None:
        """Wrap a compiled model; see ``open_openvino_decoder``."""
        self.precision = precision
        self.bytes = path.stat().st_size
        self.bf16 = bf16
        self._compiled: Any = compiled
        ports = {port.get_any_name(): port for port in compiled.inputs}
        self.has_positions = "positions" in ports
        layers = sum(name.startswith("cross_key_") for name in ports)
        self.cross_names = [
            f"cross_{part}_{layer}" for layer in range(layers) for part in ("key", "value")
        ]
        shape = ports["cross_key_0"].get_partial_shape()
        self.heads, self.dim = (shape[axis].get_length() for axis in (1, 3))
        self.cache_shape: tuple[int, int, int] = (layers, self.heads, self.dim)
        self.kv_bytes_per_token: int = 2 * layers * self.heads * self.dim * (2 if bf16 else 4)

    def rows(self) -> "OpenVinoRows":
        """A new running batch."""
        return OpenVinoRows(self)

    def request(self) -> Any:
        """A request with empty states."""
        return self._compiled.create_infer_request()

    def close(self) -> None:
        """Free the compiled model, once its batches are gone too."""
        self._compiled = None


class OpenVinoRows:
    """A running batch; see the module."""

    def __init__(self, decoder: OpenVinoDecoder) -> None:
        """Start empty."""
        self._decoder = decoder
        self._empty()

    def _empty(self) -> None:
        """No row, and no memory: a request keeps what its states once took."""
        decoder = self._decoder
        self._request = decoder.request()
        self._sources = SourceSlots(
            len(decoder.cross_names), decoder.heads, decoder.dim, bf16=decoder.bf16
        )
        self._past = 0
        self._patience = PATIENCE
        self._slots = np.zeros(0, dtype=np.int64)  # by row, in the caller's order
        # By slot: tokens decoded, the slot of the last step that it continues, and its text.
        self._ages = np.zeros(0, dtype=IDS)
        self._origins = np.zeros(0, dtype=np.int32)
        self._texts = np.zeros(0, dtype=np.int64)

    def __len__(self) -> int:
        """Rows."""
        return len(self._slots)

    @property
    def held_bytes(self) -> int:
        """Memory of all slots, what is rounded up included."""
        columns: int = self._sources.slots * self._past
        return self._sources.bytes + columns * self._decoder.kv_bytes_per_token

    def add(self, source: Source, index: int, copies: int = 1) -> None:
        """Append rows that read one source and have decoded nothing yet."""
        assert isinstance(source, EncodedTexts)
        self._make_room(len(self) + copies, int(source.lengths[index]))
        taken = set(self._slots.tolist())
        free = [slot for slot in range(self._sources.slots) if slot not in taken]
        slots = free[:copies]
        self._sources.put(slots, source, index)
        self._texts[slots] = source.keys[index]
        self._slots = np.append(self._slots, slots)

    def step(self, ids: Array) -> Array:
        """Decode one token in every row."""
        self._give_back()
        origins = self._origins
        going = np.flatnonzero(origins != _FRESH)
        if self._past and not len(going):
            self._request.reset_state()
            self._past = 0
        self._cut()
        # Whoever starts now, and slots without a row, continue what is surely finite.
        donor = origins[going[0]] if len(going) else 0
        beams = np.where(origins == _FRESH, donor, origins)
        if not self._past:  # then the states begin, as large as the batch
            beams = np.arange(len(origins), dtype=np.int32)
        newest = np.zeros((len(origins), 1), dtype=IDS)
        newest[self._slots, 0] = ids
        logits = self._infer(newest, beams)
        self._past += 1
        self._ages[self._slots] += 1
        self._origins[self._slots] = self._slots
        rows = len(self)
        in_order = np.array_equal(self._slots, np.arange(rows))
        return logits[:rows] if in_order else logits[self._slots]

    def select(self, rows: Array) -> None:
        """Let row ``i`` be what row ``rows[i]`` was; what is not named is dropped."""
        if not len(rows):
            self._empty()
            return
        self._make_room(len(rows), 0)
        parents = self._slots[rows]
        homes = self._homes(parents)
        ages, origins = self._ages[parents], self._origins[parents]
        self._ages[:], self._origins[:] = 0, _FRESH
        self._ages[homes], self._origins[homes] = ages, origins
        self._slots = homes

    def _homes(self, parents: Array) -> Array:
        """A slot for each row: its parent's, or else one with its parent's text."""
        homes: list[int] = []
        kept = set(parents.tolist())
        spare = [slot for slot in range(self._sources.slots) if slot not in kept]
        for parent in parents.tolist():
            home = parent
            if home in kept:
                kept.remove(home)  # the first of its children stays
            else:
                text = self._texts[parent]
                home = next((slot for slot in spare if self._texts[slot] == text), spare[0])
                spare.remove(home)
                if self._texts[home] != text:
                    self._sources.copy(parent, home)
                    self._texts[home] = text
            homes.append(home)
        return np.array(homes, dtype=np.int64)

    def _make_room(self, rows: int, tokens: int) -> None:
        slots, length = rounded_rows(rows), rounded_length(tokens)
        if slots > self._sources.slots or length > self._sources.length:
            self._move(max(slots, self._sources.slots), max(length, self._sources.length))

    def _give_back(self) -> None:
        """Shrink what has been too large for a while."""
        slots = rounded_rows(len(self))
        length = rounded_length(int(self._sources.lengths[self._slots].max()))
        if slots == self._sources.slots and length == self._sources.length:
            self._patience = PATIENCE
            return
        self._patience -= 1
        half = 2 * slots <= self._sources.slots or 2 * length <= self._sources.length
        if half or self._patience < 0:
            self._move(slots, length)

    def _move(self, slots: int, length: int) -> None:
        """Make so many slots of that length; the rows stand in the first, in order."""
        import openvino as ov

        kept, rows = self._slots, len(self)
        self._sources.fit(kept, slots, length)
        kind = ov.Type.bf16 if self._decoder.bf16 else ov.Type.f32
        for name, array in zip(self._decoder.cross_names, self._sources.arrays, strict=True):
            self._request.set_tensor(name, ov.Tensor(array, list(array.shape), kind))
        spare = (0, slots - rows)
        self._ages = np.pad(self._ages[kept], spare)
        self._origins = np.pad(self._origins[kept], spare, constant_values=_FRESH)
        self._texts = np.pad(self._texts[kept], spare, constant_values=_NO_TEXT)
        self._slots = np.arange(rows)
        self._patience = PATIENCE

    def _cut(self) -> None:
        """Drop the columns in front that no row needs, where they are many."""
        import openvino as ov

        needed = int(self._ages.max(initial=0))
        if self._past - needed <= SPARE_COLUMNS + needed // 2:
            return
        for state in self._request.query_state():
            whole = state.state
            columns = np.ascontiguousarray(whole.data[:, :, self._past - needed :])
            state.state = ov.Tensor(columns, list(columns.shape), whole.get_element_type())
        self._past = needed

    def _infer(self, newest: Array, beams: Array) -> Array:
        import openvino as ov

        inputs: Tensors = {
            "input_ids": newest,
            "past_mask": (np.arange(self._past) >= self._past - self._ages[:, None]).astype(IDS),
            "source_mask": self._sources.mask,
            BEAMS: beams,
        }
        if self._decoder.has_positions:
            inputs["positions"] = self._ages
        for name, array in inputs.items():
            self._request.set_tensor(name, ov.Tensor(array))
        self._request.infer()
        logits: Array = self._request.get_tensor("logits").data
        return logits


def open_openvino_decoder(
    path: Path, *, precision: str = "fp32", threads: int = 1, cache_folder: Path | None = None
) -> OpenVinoDecoder:
    """Compile a decoder step.

    Args:
        path: ``decoder.onnx``, or for int8 ``decoder_int8.onnx``.
        precision: ``fp32``, ``bf16`` or ``int8``.
        threads: compute threads.
        cache_folder: where the compiled model is kept for the next start; None: nowhere.

    Raises:
        CheckpointError: OpenVINO refuses the file, it is no decoder step, or the CPU has no bf16.
    """
    import openvino as ov

    if precision not in PRECISIONS:
        raise CheckpointError(f"OpenVINO has no {precision} here; use fp32, bf16 or int8.")
    core = ov.Core()
    capable = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision == "bf16" and not capable:
        raise CheckpointError("This CPU has no bf16 instructions; use --precision fp32.")
    bf16 = precision != "fp32" and capable
    hint = "bf16" if bf16 else "f32"
    options = compile_options(hint, threads, cache_folder)
    # Or the plugin rounds the cache to 8 bits.
    options["KV_CACHE_PRECISION"] = hint
    try:
        graph = stateful(core.read_model(str(path)), path, bf16=bf16)
        compiled = core.compile_model(graph, "CPU", options)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} cannot be compiled by OpenVINO {ov.__version__}: "
            f"{str(error).strip().splitlines()[-1]}"
        ) from error
    return OpenVinoDecoder(path, precision, compiled, bf16=bf16)
