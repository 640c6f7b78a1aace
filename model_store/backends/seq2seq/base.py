"""The seam of generating backends.

A source text is encoded once, into the keys and values that the decoder's cross-attention reads.
Rows then join a running batch and leave it between any two steps: each has its own number of
tokens so far, its own source and its own cache, so that what a step computes for a row depends on
that row alone.
"""

from typing import Protocol, runtime_checkable

from contracts.tensors import Array, Tensors


class Source(Protocol):
    """Encoded texts, opaque to callers: one per row, in the order of the encoder's input."""

    def __len__(self) -> int:
        """Texts."""
        ...


class DecoderRows(Protocol):
    """The running batch of one backend: rows that are decoded together. Starts empty."""

    def __len__(self) -> int:
        """Rows."""
        ...

    @property
    def held_bytes(self) -> int:
        """Memory of all key-value caches, self- and cross-attention."""
        ...

    def add(self, source: Source, index: int, copies: int = 1) -> None:
        """Append rows that read one source and have decoded nothing yet.

        Args:
            source: what ``encode`` returned.
            index: which of its texts.
            copies: rows to append: the beams of one request.
        """
        ...

    def step(self, ids: Array) -> Array:
        """Decode one token in every row.

        Args:
            ids: the newest token of each row, int64 ``(rows,)``; the decoder's start token first.

        Returns:
            Logits of the next token, float32 ``(rows, vocabulary)``; valid until the next call.
        """
        ...

    def select(self, rows: Array) -> None:
        """Let row ``i`` be what row ``rows[i]`` was; what is not named is dropped.

        Args:
            rows: int64; a row may be named several times (beams), each with the same source.
        """
        ...


@runtime_checkable
class Seq2SeqBackend(Protocol):
    """Ids in, logits out; knows no text and no decoding strategy. One caller at a time."""

    name: str
    precision: str
    device: str
    bytes: int
    """Size of the loaded artifact."""
    batchable: bool
    """False where an answer would depend on its neighbours: rows are then decoded alone."""
    kv_bytes_per_token: int
    """Memory of one token's keys and values over all decoder layers, of one attention."""

    def encode(self, inputs: Tensors) -> Source:
        """Read source texts.

        Args:
            inputs: ``input_ids`` and ``attention_mask``, int64 ``(rows, tokens)``.
        """
        ...

    def rows(self) -> DecoderRows:
        """A new running batch."""
        ...

    def close(self) -> None:
        """Free memory and threads; the backend is not used again."""
        ...
