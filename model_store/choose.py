"""Which backend runs a version: what the user named, or what is fastest on this machine.

``auto`` on a CPU is measured, once per shape of model, and the seconds are kept in a file of this
machine (``model_store.timings``). Every candidate is allowed as it stands: fp32 and bf16 always,
int8 only as an artifact that passed the accuracy gate. On a GPU a rule decides.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from contracts.errors import CheckpointError
from contracts.extras import how_to_install
from model_store.backends.base import BackendChoice
from model_store.backends.cpu import bf16_is_fast
from model_store.export import export_in_process
from model_store.version import ModelVersion

log = logging.getLogger(__name__)

ALMOST = 1.1
"""A candidate this close to the fastest may win by its place in ``ORDER``: models that choose
alike share
one runtime, and two runtimes in one process fight for cores."""

ORDER = ("openvino", "onnxruntime", "torch")

Part = Literal["encoder", "decoder"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run a version."""

    backend: str
    precision: str
    device: str = "cpu"
    part: Part | None = None
    """Of a model that generates: its encoder or its decoder. None: the whole."""

    @property
    def id(self) -> str:
        """``openvino-bf16``, as logs and the timings file name it."""
        prefix = f"{self.part}-" if self.part else ""
        return f"{prefix}{self.backend}-{self.precision}"


def cpu_candidates(
    version: ModelVersion, choice: BackendChoice, installed: Sequence[str], *, fast_bf16: bool
) -> list[Candidate]:
    """What may run this version on a CPU, in ``ORDER``.

    Args:
        version: its artifacts decide what there is.
        choice: narrows the backend and the precision.
        installed: names of the runtimes that can be imported.
        fast_bf16: whether ``auto`` may try bf16.

    Returns:
        At least one candidate.

    Raises:
        CheckpointError: nothing fits; the sentence says what is missing.
    """
    backends = [name for name in ORDER if choice.backend in ("auto", name)]
    missing = [name for name in backends if name not in installed]
    if choice.backend != "auto" and missing:
        raise CheckpointError(
            f"{version.id}: {how_to_install(choice.backend)}, or use --backend auto."
        )
    weights = version.artifact("torch", "fp32") is not None
    graph = version.artifact("onnx", "fp32") is not None
    exportable = weights and version.cache_folder is not None and find_spec("torch") is not None
    int8 = version.artifact("onnx", "int8")
    found = []
    for name in backends:
        if name not in installed:
            continue
        if name == "torch":
            possible = ["fp32", "bf16"] if weights else []
        else:
            possible = ["fp32"] if graph or exportable else []
            if name == "openvino" and possible:
                possible.append("bf16")
            if name == "onnxruntime" and int8 is not None:
                possible.append("int8")
        for precision in possible:
            if choice.precision == "auto":
                if precision == "bf16" and not fast_bf16:
                    continue
                if precision == "int8" and not (int8 and int8.verified):
                    continue
            elif choice.precision != precision:
                continue
            found.append(Candidate(name, precision))
    if not found:
        raise CheckpointError(_why_none(version, choice))
    return found


def fastest(candidates: Sequence[Candidate], seconds: dict[str, float]) -> list[Candidate]:
    """Candidates with a time, best first.

    The first is the earliest in ``ORDER`` among those within ``ALMOST`` of the fastest.

    Args:
        candidates: in ``ORDER``.
        seconds: cost by candidate id; what is absent did not run.
    """
    ran = sorted(
        (each for each in candidates if each.id in seconds), key=lambda each: seconds[each.id]
    )
    if not ran:
        return []
    close = {each.id for each in ran if seconds[each.id] <= seconds[ran[0].id] * ALMOST}
    # Within one runtime the faster precision stays in front; only runtimes change places.
    return sorted(
        ran,
        key=lambda each: (
            (0, ORDER.index(each.backend), seconds[each.id])
            if each.id in close
            else (1, 0, seconds[each.id])
        ),
    )


def cuda_candidate(
    choice: BackendChoice, torch_capability: tuple[int, int] | None, *, ort_cuda: bool
) -> Candidate:
    """The rule for a GPU: torch in bf16 (fp16 before Ampere), else ONNX Runtime in fp32.

    Args:
        choice: narrows the backend and the precision.
        torch_capability: the device's compute capability, where torch can use it.
        ort_cuda: whether ONNX Runtime has a CUDA provider.

    Raises:
        CheckpointError: what was asked for cannot run on a GPU here.
    """
    if choice.backend == "openvino":
        raise CheckpointError("OpenVINO runs on the CPU here; use --device cpu or another backend.")
    if choice.backend in ("auto", "torch") and torch_capability is not None:
        if choice.precision == "int8":
            if choice.backend == "torch" or not ort_cuda:
                raise CheckpointError("torch has no int8 here; use --backend onnxruntime.")
            return Candidate("onnxruntime", "int8", "cuda")
        half = "bf16" if torch_capability >= (8, 0) else "fp16"
        precision = half if choice.precision == "auto" else choice.precision
        return Candidate("torch", precision, "cuda")
    if choice.backend in ("auto", "onnxruntime") and ort_cuda:
        precision = "fp32" if choice.precision == "auto" else choice.precision
        return Candidate("onnxruntime", precision, "cuda")
    raise CheckpointError(
        "No runtime here can use the GPU; install torch with CUDA or onnxruntime-gpu, or use "
        "--device cpu."
    )


def installed_runtimes() -> list[str]:
    """Which of ``ORDER`` can be imported; nothing is imported to find out."""
    return [name for name in ORDER if find_spec(name) is not None]


def choose_on_cpu(version: ModelVersion, choice: BackendChoice, threads: int) -> list[Candidate]:
    """The candidates that fit, best first; measured where there is more than one.

    Raises:
        CheckpointError: nothing fits.
    """
    from model_store.timings import timings_of

    found = candidates_here(version, choice)
    if len(found) == 1:
        return found
    ranked = fastest(found, timings_of(version, found, threads))
    if not ranked:
        log.warning("%s: no backend could be measured; %s is tried first", version.id, found[-1].id)
        return found[::-1]
    return ranked


def candidates_here(version: ModelVersion, choice: BackendChoice) -> list[Candidate]:
    """What may run a version on this CPU, its ONNX file made where that takes one.

    Raises:
        CheckpointError: nothing fits.
    """
    found = cpu_candidates(version, choice, installed_runtimes(), fast_bf16=bf16_is_fast())
    return found if len(found) == 1 else _with_graph(version, found)


def onnx_path(version: ModelVersion, precision: str) -> Path:
    """The ONNX file of a candidate, exported into the cache where the version has none.

    Raises:
        CheckpointError: there is none and the model cannot be exported.
    """
    wanted = "int8" if precision == "int8" else "fp32"
    artifact = version.artifact("onnx", wanted)
    if artifact is not None:
        return version.folder / artifact.path
    if wanted == "int8":
        raise CheckpointError(
            f"{version.id} has no int8 artifact; make one with `tuneserve export`."
        )
    if version.cache_folder is None:
        raise CheckpointError(
            f"{version.id} has no ONNX file; use --backend torch, or make one with "
            "`tuneserve export`."
        )
    path = version.cache_folder / "model.onnx"
    if not path.is_file():
        log.info("%s: exporting to ONNX, once", version.id)
        export_in_process(version.folder, version.manifest.task, path)
    return path


def _with_graph(version: ModelVersion, candidates: list[Candidate]) -> list[Candidate]:
    """Drop what needs an ONNX file where none can be made, with one line in the log."""
    try:
        onnx_path(version, "fp32")
    except CheckpointError as error:
        left = [each for each in candidates if each.backend == "torch" or each.precision == "int8"]
        if not left:
            raise
        log.warning("%s: %s Only torch is tried.", version.id, error)
        return left
    return candidates


def _why_none(version: ModelVersion, choice: BackendChoice) -> str:
    backend, precision = choice.backend, choice.precision
    if precision == "fp16":
        return f"{version.id}: fp16 needs a GPU; use fp32 or bf16 on the CPU."
    if precision == "int8":
        if backend in ("torch", "openvino"):
            return f"{version.id}: int8 runs on ONNX Runtime; use --backend onnxruntime."
        return f"{version.id} has no int8 artifact; make one with `tuneserve export`."
    if backend == "torch":
        return f"{version.id} has no safetensors weights, so torch cannot run it; use onnxruntime."
    if backend == "onnxruntime" and precision == "bf16":
        return f"{version.id}: ONNX Runtime has no bf16 on the CPU; use openvino or torch."
    if find_spec("torch") is None:
        return f"{version.id} has no ONNX file, to run it as it is: {how_to_install('torch')}"
    return (
        f"{version.id} has no ONNX file and none can be exported here; use --backend torch, or "
        "make one with `tuneserve export`."
    )
