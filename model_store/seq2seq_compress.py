"""From the two graphs of a generating checkpoint to their int8 versions.

The encoder is quantised as other encoders are: statically, by typical texts. The decoder keeps its
activations in float: its weights become 8 bit in blocks of 32 with a scale each, and its matrix
products (``MatMulNBits``) quantise each row of activations by itself, so that no row feels its
neighbours. Nothing is calibrated: what a decoder sees depends on what it wrote.
"""

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from contracts.errors import CheckpointError
from contracts.tensors import Tensors
from model_store.compress import quantize_static
from model_store.seq2seq_export import DECODER, ENCODER

ENCODER_INT8, DECODER_INT8 = "encoder_int8.onnx", "decoder_int8.onnx"

BLOCK = 32
"""Weights that share a scale."""


def compress_seq2seq(folder: Path, calibration: Iterable[Tensors]) -> Path:
    """Write ``encoder_int8.onnx`` and ``decoder_int8.onnx`` beside the fp32 files.

    Args:
        folder: as ``export_seq2seq`` fills it.
        calibration: inputs of typical sources, any number of rows each.

    Returns:
        ``folder``.

    Raises:
        CheckpointError: no calibration rows, or a graph cannot be quantised.
    """
    quantize_static(folder / ENCODER, folder / ENCODER_INT8, calibration)
    quantize_weights(folder / DECODER, folder / DECODER_INT8)
    return folder


def quantize_weights(onnx_fp32: Path, destination: Path) -> Path:
    """Write a version of a decoder step whose weights are 8 bit.

    Raises:
        CheckpointError: it has no weights to quantise, or the result does not run.
    """
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import (
        DefaultWeightOnlyQuantConfig,
        MatMulNBitsQuantizer,
    )

    model = onnx.load(str(onnx_fp32))
    # Shapes that the exporter noted go stale when nodes are put between.
    del model.graph.value_info[:]
    settings = DefaultWeightOnlyQuantConfig(
        bits=8,
        block_size=BLOCK,
        is_symmetric=True,
        # Multiply in int8 and not in float: each row of activations is quantised by itself.
        accuracy_level=4,
    )
    talk = logging.getLogger("onnxruntime.quantization.matmul_nbits_quantizer")
    before = talk.level
    talk.setLevel(logging.WARNING)
    try:
        quantizer = MatMulNBitsQuantizer(model, algo_config=settings)
        quantizer.process()
    finally:
        talk.setLevel(before)
    quantized = quantizer.model.model
    if not any(node.op_type == "MatMulNBits" for node in quantized.graph.node):
        raise CheckpointError(f"{onnx_fp32} has no weights to quantise; serve it in fp32.")
    fresh = destination.with_name(f".{destination.name}.{os.getpid()}.new")
    try:
        onnx.save(quantized, str(fresh))
        _check(fresh)
        fresh.replace(destination)
    finally:
        fresh.unlink(missing_ok=True)
    return destination


def _check(path: Path) -> None:
    """Refuse a file that does not run."""
    from model_store.backends.seq2seq.onnxruntime import open_onnxruntime_decoder
    from model_store.backends.seq2seq.row_table import EncodedTexts

    decoder = open_onnxruntime_decoder(path, precision="int8")
    rows: Any = decoder.rows()
    layers, heads, dim = decoder.cache_shape
    nothing = np.zeros((1, heads, 1, dim), np.float32)
    texts = EncodedTexts([nothing] * (2 * layers), np.ones((1, 1), np.int64))
    rows.add(texts, 0)
    try:
        logits = [rows.step(np.zeros(1, np.int64)).copy() for _ in range(2)]
    except Exception as error:  # ONNX Runtime raises classes of its own without a common base
        raise CheckpointError(f"{path} does not run ({error}); serve it in fp32.") from error
    finally:
        decoder.close()
    if not np.isfinite(logits).all():
        raise CheckpointError(f"{path} gives numbers that are not finite; serve it in fp32.")
