"""From an fp32 ONNX file to static int8: calibrated once, so that a row never feels its neighbours.

Activations are smoothed first (SmoothQuant, Xiao et al., 2023): a few channels of a transformer
are far larger than the rest, and one scale for all of them would leave the rest no bits.
"""

import contextlib
import io
import itertools
import logging
import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from contracts.errors import CheckpointError, first_line
from contracts.tensors import Tensors

log = logging.getLogger(__name__)

CALIBRATION_ROWS = 100
"""Rows whose activations are looked at; every activation of the graph is kept for each."""

SMOOTHING = 0.8
"""How much of an activation's range goes into the weights. nncf's 0.95, and its ranges that are
averages over the rows, left 1.2 to 1.6 times the noise in the logits of models for banking77,
BC5CDR and WNUT-17 (of 770 answers to banking77 then 2 changed, now 3), and cut off what a rare text
has."""

CALIBRATION_TOKENS = 128
"""A longer row is cut: its activations have the same range, and cost more to collect."""

FLOAT_OPERATORS = ("Attention", "Gather", "Gemm")
"""Left in float. ``Attention``: it computes in float, so int8 in front of it would be rounding, and
two more passes over queries and keys. ``Gather``: ONNX Runtime would turn the whole embedding table
back into float at every run. ``Gemm``: a head on the pooled row has one matrix row per text; where
its integer form is not fused, its weight is no constant, is not packed, and a lone text takes
another kernel than a batch, so its logits would differ in the last bits."""


def quantize_static(
    onnx_fp32: Path,
    destination: Path,
    calibration: Iterable[Tensors],
    *,
    rows: int = CALIBRATION_ROWS,
) -> Path:
    """Write a static int8 version of an ONNX file: int8 weights, uint8 activations.

    nncf does it; where it cannot take the graph, ONNX Runtime's own calibration by minimum and
    maximum does, with a line in the log (it keeps fewer labels).

    Args:
        onnx_fp32: as ``export_onnx`` writes it, whatever its head.
        destination: the file to write; its folder is made.
        calibration: inputs of typical texts, any number of rows each; padding is cut off.
        rows: how many of them are used.

    Returns:
        ``destination``.

    Raises:
        CheckpointError: no calibration rows, or neither tool can take the graph.
    """
    import onnx

    model = onnx.load(str(onnx_fp32))
    # Shapes that the exporter noted go stale when nodes are put between.
    del model.graph.value_info[:]
    names = {each.name for each in model.graph.input}
    items = list(itertools.islice(single_rows(calibration, names), rows))
    if not items:
        raise CheckpointError(f"{onnx_fp32} cannot be calibrated without a single text.")
    destination.parent.mkdir(parents=True, exist_ok=True)
    fresh = destination.with_name(f".{destination.name}.{os.getpid()}.new")
    try:
        try:
            with _quiet():
                onnx.save(_by_nncf(model, items), str(fresh))
            _check(fresh, items[0])
        except Exception as error:  # both tools raise whatever they meet
            log.warning(
                "nncf cannot quantise %s (%s); ONNX Runtime's min-max calibration is used.",
                onnx_fp32,
                first_line(error),
            )
            _by_onnxruntime(model, items, fresh, onnx_fp32)
            _check(fresh, items[0])
        fresh.replace(destination)
    finally:
        fresh.unlink(missing_ok=True)
    return destination


def single_rows(calibration: Iterable[Tensors], names: set[str]) -> Iterator[Tensors]:
    """Each row alone, without its padding, so that padding has no part in the ranges.

    Args:
        calibration: inputs of any number of rows each.
        names: of the inputs that are kept.
    """
    for inputs in calibration:
        for index, mask in enumerate(inputs["attention_mask"]):
            length = min(int(mask.sum()), CALIBRATION_TOKENS)
            if length:
                yield {name: inputs[name][index : index + 1, :length] for name in sorted(names)}


def pooling_names(graph: Any) -> list[str]:
    """Nodes that stay in float: products of two activations behind the last weight.

    So an embedder adds up its tokens: the sum is the answer, and nothing after it makes rounding
    good again.
    """
    weights = {each.name for each in graph.initializer}
    made = {output: node for node in graph.node for output in node.output}

    def weighs(name: str) -> bool:
        """Whether an input is a weight, in int8 or not."""
        node = made.get(name)
        return name in weights or (node is not None and all(map(weighs, node.input)))

    names: list[str] = []
    for node in reversed(graph.node):
        if node.op_type == "MatMul":
            if any(map(weighs, node.input)):
                break
            names.append(node.name)
    return names


def _by_nncf(model: Any, items: list[Tensors]) -> Any:
    """Quantise in memory, then make the graph what ONNX Runtime accepts and runs fast."""
    import nncf
    from nncf.quantization import advanced_parameters as advanced
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    quantized = nncf.quantize(
        model,
        nncf.Dataset(items),
        subset_size=len(items),
        model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset.MIXED,
        advanced_parameters=advanced.AdvancedQuantizationParameters(
            activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
            smooth_quant_alphas=advanced.AdvancedSmoothQuantParameters(matmul=SMOOTHING),
        ),
        ignored_scope=nncf.IgnoredScope(
            types=list(FLOAT_OPERATORS), names=pooling_names(model.graph), validate=False
        ),
        fast_bias_correction=True,
    )
    del quantized.graph.value_info[:]
    _shift_to_uint8(quantized.graph)
    return quantized


def _shift_to_uint8(graph: Any) -> None:
    """Move the zero points of activation quantisers from int8 to uint8: the same values, +128.

    ONNX Runtime refuses what nncf writes (a type that its kernels do not have), and its signed
    kernels are slow. Weights have no quantiser in front and stay int8.
    """
    from onnx import numpy_helper

    initializers = {each.name: each for each in graph.initializer}
    points = {node.input[2] for node in graph.node if node.op_type == "QuantizeLinear"}
    weights = {
        node.input[2]
        for node in graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in initializers
    }
    if points & weights:
        raise ValueError("a zero point is shared by a weight and an activation")
    for name in points:
        point = numpy_helper.to_array(initializers[name])
        if point.dtype == np.int8:
            shifted = (point.astype(np.int16) + 128).astype(np.uint8)
            initializers[name].CopyFrom(numpy_helper.from_array(shifted, name))


def _by_onnxruntime(model: Any, items: list[Tensors], path: Path, source: Path) -> None:
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(items)

        def get_next(self) -> Tensors | None:
            return next(self.left, None)

    try:
        quantization.quantize_static(
            model,
            str(path),
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["MatMul"],
            nodes_to_exclude=pooling_names(model.graph),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
    except Exception as error:  # it raises whatever it meets
        raise CheckpointError(
            f"{source} cannot be quantised ({first_line(error)}); serve it in fp32."
        ) from error


def _check(path: Path, inputs: Tensors) -> None:
    """Refuse a file that ONNX Runtime cannot load and run, or that has nothing quantised in it."""
    from model_store.backends.onnxruntime import open_onnxruntime

    backend = open_onnxruntime(path, precision="int8")
    try:
        outputs = backend.run(inputs)
    except Exception as error:  # ONNX Runtime raises classes of its own without a common base
        raise CheckpointError(f"{path} does not run ({first_line(error)}).") from error
    finally:
        backend.close()
    if not all(np.isfinite(array).all() for array in outputs.values()):
        raise CheckpointError(f"{path} gives numbers that are not finite.")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep nncf's talk off stdout, warnings and log; what goes wrong is raised anyway."""
    # nncf reports its use to its makers unless it believes, when it is imported, that it runs in
    # their own tests.
    os.environ.setdefault("NNCF_CI", "1")
    import nncf  # noqa: F401  # first of all, since its logger must be of a class of its own

    # Not by nncf.set_log_level, which turns down the handlers of the whole process.
    talk = logging.getLogger("nncf")
    before = talk.disabled
    talk.disabled = True
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        talk.disabled = before
