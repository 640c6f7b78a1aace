"""Int8 that loses too much gets its most sensitive parts back in float, if the gate lets it in."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from contracts.errors import CheckpointError
from contracts.tensors import Tensors
from train.measure import Measured, told
from train.verify import Exam


def keep_in_float(
    exam: Exam, plain: Measured, onnx_fp32: Path, calibration: Iterable[Tensors]
) -> Measured:
    """Try int8 again with the parts in float that hurt most when only they are quantised.

    Nothing is calibrated again: a few graphs are written, and each answers the exam.

    Args:
        exam: has measured the reference and ``plain``.
        plain: int8 throughout, outside the gate for what rounding costs; its file may be replaced.
        onnx_fp32: the graph that it was made of.
        calibration: inputs of typical texts.

    Returns:
        The first inside the gate, in ``plain``'s file, which says in ``tried`` what was not; or
        else ``plain``, which says there what was tried.
    """
    from model_store.mixed import MixedGraph
    from model_store.sensitivity import attempts, noise_by_part

    file = exam.version.folder / plain.artifact.path
    # The exam loads the version's int8 file, so what is tried has to stand in its place.
    aside = file.with_name(f".{file.name}.plain")
    file.replace(aside)
    try:
        graph = MixedGraph(onnx_fp32, aside)
        for parts in attempts(list(noise_by_part(graph, calibration))):
            graph.write(parts, file)
            artifact = plain.artifact.model_copy(update={"float_parts": parts})
            reasons = exam.losses(artifact)
            if not reasons:
                measured = exam.measure(artifact)
                reasons = measured.reasons
                if measured.verified:
                    aside.unlink()
                    return replace(measured, tried=[_sentence([], plain.reasons), *plain.tried])
            plain.tried.append(_sentence(parts, reasons))
    except CheckpointError as error:
        reason = told(exam.version.folder, error)
        plain.tried.append(f"No part can be kept in float: {reason}")
    finally:
        if aside.exists():
            aside.replace(file)
    return plain


def _sentence(parts: Sequence[str], reasons: Sequence[str]) -> str:
    where = f"With {', '.join(parts)} in float" if parts else "All in int8"
    return f"{where}: {' '.join(reasons)}"
