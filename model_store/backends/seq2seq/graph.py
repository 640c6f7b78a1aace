"""A generating backend of two graphs: any backend that runs an encoder, and a decoder.

They are chosen apart, because a long source and a single token have different needs.
"""

from typing import Protocol

from contracts.tensors import Tensors
from model_store.backends.base import Backend
from model_store.backends.seq2seq.base import DecoderRows
from model_store.backends.seq2seq.row_table import EncodedTexts


class Decoder(Protocol):
    """One decoder graph; ``rows`` take the ``EncodedTexts`` that ``GraphSeq2Seq`` makes."""

    name: str
    precision: str
    device: str
    bytes: int
    batchable: bool
    kv_bytes_per_token: int

    def rows(self) -> DecoderRows:
        """A new running batch."""
        ...

    def close(self) -> None:
        """Free memory and threads."""
        ...


class GraphSeq2Seq:
    """An encoder's graph and a decoder's."""

    def __init__(self, encoder: Backend, decoder: Decoder) -> None:
        """Put two graphs of one checkpoint together.

        Args:
            encoder: runs ``encoder.onnx``: its outputs are ``cross_key_0``, ``cross_value_0``, ...
            decoder: reads those.
        """
        self.name = decoder.name
        self.precision = decoder.precision
        self.device = decoder.device
        self.bytes = encoder.bytes + decoder.bytes
        self.batchable = encoder.batchable and decoder.batchable
        self.kv_bytes_per_token = decoder.kv_bytes_per_token
        self.encoder, self.decoder = encoder, decoder

    def encode(self, inputs: Tensors) -> EncodedTexts:
        """Read source texts."""
        outputs = self.encoder.run(inputs)
        layers = len(outputs) // 2
        names = [f"cross_{part}_{layer}" for layer in range(layers) for part in ("key", "value")]
        return EncodedTexts([outputs[name] for name in names], inputs["attention_mask"])

    def rows(self) -> DecoderRows:
        """A new running batch."""
        return self.decoder.rows()

    def close(self) -> None:
        """Free both."""
        self.encoder.close()
        self.decoder.close()
