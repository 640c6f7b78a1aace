"""Which backends run a generating version: one for its encoder, one for its decoder.

A long source is one large computation, a token is many small ones, so they are measured apart and
put together: a pair of graphs on any two runtimes, or the whole model on torch.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from contracts.errors import CheckpointError
from contracts.extras import how_to_install
from model_store.backends.base import BackendChoice
from model_store.backends.cpu import bf16_is_fast
from model_store.choose import ALMOST, ORDER, Candidate, Part, installed_runtimes
from model_store.seq2seq_export import DECODER, ENCODER, export_seq2seq_in_process
from model_store.version import ModelVersion

log = logging.getLogger(__name__)

PRECISIONS = {
    ("onnxruntime", "encoder"): ("fp32", "int8"),
    ("onnxruntime", "decoder"): ("fp32", "int8"),
    ("openvino", "encoder"): ("fp32", "bf16"),
    ("openvino", "decoder"): ("fp32", "bf16", "int8"),
    ("torch", "encoder"): ("fp32", "bf16"),
    ("torch", "decoder"): ("fp32", "bf16"),
}
"""What each runtime can compute of each part on a CPU."""

TYPICAL_TOKENS = 48
"""Tokens of an answer: so many steps weigh as much as reading the source once."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What reads and what writes."""

    encoder: Candidate
    decoder: Candidate

    @property
    def id(self) -> str:
        """``openvino-bf16+onnxruntime-int8``; torch is one model, and has one name."""
        names = dict.fromkeys(
            f"{one.backend}-{one.precision}" for one in (self.encoder, self.decoder)
        )
        return "+".join(names)


def cpu_pairs(
    version: ModelVersion, choice: BackendChoice, installed: Sequence[str], *, fast_bf16: bool
) -> list[Pair]:
    """What may run this version on a CPU.

    Args:
        version: its artifacts decide what there is.
        choice: narrows the backend and the precision, of both parts; where a runtime has a part
            only in another precision than the one that was named, the part stays in fp32.
        installed: names of the runtimes that can be imported.
        fast_bf16: whether ``auto`` may try bf16.

    Returns:
        At least one pair.

    Raises:
        CheckpointError: nothing fits; the sentence says what is missing.
    """
    if choice.backend not in ("auto", *installed):
        raise CheckpointError(
            f"{version.id}: {how_to_install(choice.backend)}, or use --backend auto."
        )
    weights = version.artifact("torch", "fp32") is not None
    exportable = weights and version.cache_folder is not None and find_spec("torch") is not None
    graph = version.artifact("onnx", "fp32") is not None or exportable
    int8 = version.artifact("onnx", "int8")

    def allowed(precision: str) -> bool:
        if precision == "int8" and int8 is None:
            return False
        if choice.precision != "auto":
            return precision == choice.precision
        if precision == "int8":
            return int8 is not None and int8.verified
        return precision == "fp32" or fast_bf16

    def found(part: Part) -> list[Candidate]:
        possible = []
        for backend in ORDER:
            if backend not in installed or choice.backend not in ("auto", backend):
                continue
            # int8 has files of its own; every other graph is read from the fp32 one.
            there = weights if backend == "torch" else graph
            precisions = [
                each
                for each in PRECISIONS[backend, part]
                if allowed(each) and (there or each == "int8")
            ]
            possible += [Candidate(backend, each, part=part) for each in precisions]
        return possible

    decoders = found("decoder")
    encoders = found("encoder")
    if decoders and not encoders and graph:
        # OpenVINO has int8 for decoders alone.
        encoders = [Candidate(choice.backend, "fp32", part="encoder")]
    pairs = [
        Pair(encoder, decoder)
        for encoder in encoders
        for decoder in decoders
        # On torch both parts are one model; graphs may be mixed.
        if "torch" not in (encoder.backend, decoder.backend)
        or (encoder.backend, encoder.precision) == (decoder.backend, decoder.precision)
    ]
    if not pairs:
        raise CheckpointError(_why_none(version, choice))
    return pairs


def quickest(pairs: Sequence[Pair], seconds: dict[str, float]) -> list[Pair]:
    """Pairs whose parts ran, best first.

    Among those that are almost the fastest, a pair on one runtime stands before one on two, which
    would fight for cores.

    Args:
        pairs: any.
        seconds: cost by the ids of parts; what is absent did not run.
    """

    def cost(pair: Pair) -> float:
        return seconds[pair.encoder.id] + TYPICAL_TOKENS * seconds[pair.decoder.id]

    ran = sorted(
        (each for each in pairs if {each.encoder.id, each.decoder.id} <= seconds.keys()), key=cost
    )
    if not ran:
        return []
    limit = cost(ran[0]) * ALMOST
    return sorted(
        ran,
        key=lambda each: (
            cost(each) > limit,
            cost(each) <= limit and each.encoder.backend != each.decoder.backend,
            cost(each),
        ),
    )


def pairs_here(version: ModelVersion, choice: BackendChoice) -> list[Pair]:
    """What may run a version on this CPU, its ONNX files made where that takes them.

    Raises:
        CheckpointError: nothing fits.
    """
    pairs = cpu_pairs(version, choice, installed_runtimes(), fast_bf16=bf16_is_fast())
    return pairs if len(pairs) == 1 else _with_graphs(version, pairs)


def parts_of(pairs: Sequence[Pair]) -> list[Candidate]:
    """Every encoder and decoder of some pairs, once."""
    return list(dict.fromkeys(part for pair in pairs for part in (pair.encoder, pair.decoder)))


def choose_pairs_on_cpu(version: ModelVersion, choice: BackendChoice, threads: int) -> list[Pair]:
    """The pairs that fit, best first; measured where there is more than one.

    Raises:
        CheckpointError: nothing fits.
    """
    from model_store.timings import timings_of

    pairs = pairs_here(version, choice)
    if len(pairs) == 1:
        return pairs
    ranked = quickest(pairs, timings_of(version, parts_of(pairs), threads))
    if not ranked:
        log.warning("%s: no backend could be measured; %s is tried first", version.id, pairs[-1].id)
        return pairs[::-1]
    return ranked


def graph_path(version: ModelVersion, part: Part, precision: str) -> Path:
    """The ONNX file of a part, exported into the cache where the version has none.

    Args:
        version: of the store, or a plain folder.
        part: ``encoder`` or ``decoder``.
        precision: of the candidate.

    Raises:
        CheckpointError: there is none and the model cannot be exported.
    """
    wanted = "int8" if precision == "int8" else "fp32"
    artifact = version.artifact("onnx", wanted)
    if artifact is not None:
        name = artifact.encoder if part == "encoder" else artifact.path
        if name is None:
            raise CheckpointError(
                f"{version.id}: {artifact.path} names no encoder; make both with "
                "`tuneserve export`."
            )
        return version.folder / name
    if wanted == "int8":
        raise CheckpointError(
            f"{version.id} has no int8 artifact; make one with `tuneserve export`."
        )
    if version.cache_folder is None:
        raise CheckpointError(
            f"{version.id} has no ONNX files; use --backend torch, or make them with "
            "`tuneserve export`."
        )
    # The decoder appears last, so that where it is, both are.
    if not (version.cache_folder / DECODER).is_file():
        log.info("%s: exporting to ONNX, once", version.id)
        export_seq2seq_in_process(version.folder, version.cache_folder)
    return version.cache_folder / (ENCODER if part == "encoder" else DECODER)


def _with_graphs(version: ModelVersion, pairs: list[Pair]) -> list[Pair]:
    """Drop what needs ONNX files where none can be made, with one line in the log."""
    try:
        graph_path(version, "decoder", "fp32")
    except CheckpointError as error:
        left = [each for each in pairs if each.decoder.backend == "torch"]
        if not left:
            raise
        log.warning("%s: %s Only torch is tried.", version.id, error)
        return left
    return pairs


def _why_none(version: ModelVersion, choice: BackendChoice) -> str:
    backend, precision = choice.backend, choice.precision
    if precision == "fp16":
        return f"{version.id}: fp16 needs a GPU; use fp32 or bf16 on the CPU."
    if precision == "int8":
        if backend == "torch":
            return f"{version.id}: torch has no int8 here; use --backend onnxruntime or openvino."
        return f"{version.id} has no int8 artifact; make one with `tuneserve export`."
    if backend == "torch":
        return f"{version.id} has no safetensors weights, so torch cannot run it; use onnxruntime."
    if backend == "onnxruntime" and precision == "bf16":
        return f"{version.id}: ONNX Runtime has no bf16 on the CPU; use openvino or torch."
    if find_spec("torch") is None:
        return f"{version.id} has no ONNX files, to run it as it is: {how_to_install('torch')}"
    return (
        f"{version.id} has no ONNX files and none can be exported here; use --backend torch, or "
        "make them with `tuneserve export`."
    )
