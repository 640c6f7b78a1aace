"""A generating backend without a model: logits are a function of a row's source and tokens alone.

For tests and dry runs. An answer is the same to the last bit whoever shares the batch, so that any
difference is the fault of the code around it.
"""

import numpy as np

from contracts.errors import BackendFailure
from contracts.tensors import Array, Tensors
from model_store.backends.fake import mix, unit
from model_store.backends.seq2seq.base import Source

_STEP = np.uint64(0x9E3779B97F4A7C15)


class FakeSource:
    """Hashes of texts."""

    def __init__(self, seeds: Array, tokens: Array) -> None:
        self.seeds, self.tokens = seeds, tokens

    def __len__(self) -> int:
        return len(self.seeds)


class FakeRows:
    """Hashes of texts and of what was decoded for them."""

    def __init__(self, backend: "FakeSeq2Seq") -> None:
        self._backend = backend
        self._states = np.zeros(0, dtype=np.uint64)
        self._tokens = np.zeros(0, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._states)

    @property
    def held_bytes(self) -> int:
        """What a cache would take."""
        return int(self._tokens.sum()) * self._backend.kv_bytes_per_token

    def add(self, source: Source, index: int, copies: int = 1) -> None:
        """Append rows."""
        assert isinstance(source, FakeSource)
        self._states = np.append(self._states, [source.seeds[index]] * copies)
        self._tokens = np.append(self._tokens, [source.tokens[index]] * copies)

    def step(self, ids: Array) -> Array:
        """Hash one more token into every row.

        Raises:
            BackendFailure: a row holds the poison id.
        """
        if self._backend.poison_id is not None and bool((ids == self._backend.poison_id).any()):
            raise BackendFailure("A row holds the poison token.")
        self._states = mix(self._states * np.uint64(3) + ids.astype(np.uint64) + np.uint64(1))
        self._tokens = self._tokens + 1
        places = np.arange(1, self._backend.vocabulary + 1, dtype=np.uint64) * _STEP
        logits = unit(mix(self._states[:, None] + places)) * 8 - 4
        return np.asarray(logits.astype(np.float32))

    def select(self, rows: Array) -> None:
        """Keep these rows, in this order."""
        self._states, self._tokens = self._states[rows], self._tokens[rows]


class FakeSeq2Seq:
    """See the module."""

    name = "fake"
    precision = "fp32"
    device = "cpu"
    bytes = 0
    batchable = True
    kv_bytes_per_token = 1024

    def __init__(self, vocabulary: int, poison_id: int | None = None) -> None:
        """Configure the answers.

        Args:
            vocabulary: logits of a step.
            poison_id: a decoder token that makes the whole step fail, as a broken kernel would.
        """
        self.vocabulary = vocabulary
        self.poison_id = poison_id

    def encode(self, inputs: Tensors) -> FakeSource:
        """Hash each text's unmasked ids."""
        ids, mask = inputs["input_ids"].astype(np.uint64), inputs["attention_mask"]
        places = np.arange(ids.shape[1], dtype=np.uint64)
        hashes = np.where(mask.astype(bool), mix(ids * np.uint64(2) + mix(places)), np.uint64(0))
        return FakeSource(mix(hashes.sum(axis=1, dtype=np.uint64)), mask.sum(axis=1))

    def rows(self) -> FakeRows:
        """A new running batch."""
        return FakeRows(self)

    def close(self) -> None:
        """Nothing to free."""
