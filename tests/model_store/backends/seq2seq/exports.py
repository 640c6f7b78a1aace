"""Tiny generating checkpoints with their graphs, made once for a whole test run."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

from model_store.seq2seq_export import export_seq2seq
from tests.seq2seq_models import ARCHITECTURES, tiny_seq2seq

QUICK = ("bart", "t5")
"""One that counts positions and one that does not; an export takes seconds, so the others are
tried by `make e2e`."""

EVERY = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.e2e) for name in ARCHITECTURES
]


@cache
def exported(architecture: str) -> Path:
    """A tiny checkpoint with ``onnx/encoder.onnx`` and ``onnx/decoder.onnx``."""
    folder = tiny_seq2seq(Path(mkdtemp()) / architecture, architecture)
    export_seq2seq(folder, folder / "onnx")
    return folder
