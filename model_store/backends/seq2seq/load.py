"""From a chosen pair to a generating backend that runs."""

from typing import Any

from contracts.errors import CheckpointError
from model_store.backends.base import Backend
from model_store.backends.seq2seq.base import Seq2SeqBackend
from model_store.backends.seq2seq.graph import Decoder, GraphSeq2Seq
from model_store.choose import Candidate
from model_store.choose_seq2seq import Pair, graph_path
from model_store.version import ModelVersion


def open_pair(version: ModelVersion, pair: Pair, threads: int) -> Seq2SeqBackend:
    """Load exactly this pair.

    Raises:
        CheckpointError: a runtime refuses.
    """
    if pair.decoder.backend == "torch":
        return open_torch_whole(version, pair.decoder, threads)
    encoder = open_encoder(version, pair.encoder, threads)
    return GraphSeq2Seq(encoder, open_decoder(version, pair.decoder, threads))


def open_torch_whole(version: ModelVersion, candidate: Candidate, threads: int) -> Seq2SeqBackend:
    """The checkpoint on torch: both parts.

    Raises:
        CheckpointError: transformers refuses.
    """
    from model_store.backends.seq2seq.torch import open_torch_seq2seq

    return open_torch_seq2seq(
        version.folder, precision=candidate.precision, device=candidate.device, threads=threads
    )


def open_encoder(version: ModelVersion, candidate: Candidate, threads: int) -> Backend:
    """The encoder's graph.

    Raises:
        CheckpointError: the runtime refuses.
    """
    path = graph_path(version, "encoder", candidate.precision)
    options: dict[str, Any] = {"precision": candidate.precision, "threads": threads}
    if candidate.backend == "onnxruntime":
        from model_store.backends.onnxruntime import open_onnxruntime

        return open_onnxruntime(path, device=candidate.device, **options)
    if candidate.backend == "openvino":
        from model_store.backends.openvino import open_openvino
        from model_store.timings import user_cache

        return open_openvino(path, cache_folder=user_cache() / "openvino", **options)
    raise CheckpointError(f"{candidate.backend!r} runs no graphs.")


def open_decoder(version: ModelVersion, candidate: Candidate, threads: int) -> Decoder:
    """The decoder's graph.

    Raises:
        CheckpointError: the runtime refuses.
    """
    path = graph_path(version, "decoder", candidate.precision)
    options: dict[str, Any] = {"precision": candidate.precision, "threads": threads}
    if candidate.backend == "onnxruntime":
        from model_store.backends.seq2seq.onnxruntime import open_onnxruntime_decoder

        return open_onnxruntime_decoder(path, device=candidate.device, **options)
    if candidate.backend == "openvino":
        from model_store.backends.seq2seq.openvino import open_openvino_decoder
        from model_store.timings import user_cache

        return open_openvino_decoder(path, cache_folder=user_cache() / "openvino", **options)
    raise CheckpointError(f"{candidate.backend!r} runs no graphs.")
