"""From a version and a wish to a backend that runs."""

import logging

from contracts.errors import CheckpointError
from model_store.backends.base import Backend, BackendChoice
from model_store.backends.cpu import compute_threads
from model_store.backends.seq2seq.base import Seq2SeqBackend
from model_store.choose import Candidate, choose_on_cpu, cuda_candidate, onnx_path
from model_store.files import read_json
from model_store.generating import decoder_config
from model_store.version import ModelVersion

log = logging.getLogger(__name__)


def load_backend(version: ModelVersion, choice: BackendChoice | None = None) -> Backend:
    """Load a version on the backend that was asked for.

    What is named is obeyed or refused; ``auto`` takes the fastest candidate and, if that one
    cannot be loaded after all, the next, with a line in the log.

    Args:
        version: a version of the store or a plain folder.
        choice: backend, precision, device, threads; default: everything ``auto``.

    Raises:
        CheckpointError: nothing that was asked for can run.
    """
    choice = choice or BackendChoice()
    if choice.backend == "fake":
        from model_store.backends.fake import FakeBackend

        config = version.folder / "config.json"
        vocabulary = read_json(config).get("vocab_size", 100) if config.is_file() else 100
        return FakeBackend.for_manifest(version.manifest, vocabulary)
    threads = choice.threads_per_stream
    if choice.device == "cuda" or (choice.device == "auto" and choice.backend != "openvino"):
        candidate = _on_gpu(choice)
        if candidate is not None:
            return open_candidate(version, candidate, threads, choice.streams)
    *others, last = choose_on_cpu(version, choice, threads)
    for candidate in others:
        try:
            return _opened(version, candidate, threads, choice.streams)
        except CheckpointError as error:
            log.warning("%s: %s is left out: %s", version.id, candidate.id, error)
    return _opened(version, last, threads, choice.streams)


def measured_batch_tokens(
    version: ModelVersion, backend: Backend, choice: BackendChoice
) -> int | None:
    """The token budget that a version is fastest with on this CPU; None: it was not measured."""
    from model_store.timings import batch_tokens_of

    if backend.device != "cpu" or backend.name == "fake":
        return None
    candidate = Candidate(backend.name, backend.precision)
    return batch_tokens_of(version, candidate, choice.threads_per_stream)


def load_generating_backend(
    version: ModelVersion, choice: BackendChoice | None = None
) -> Seq2SeqBackend:
    """Load a version that generates; see ``load_backend``.

    Its encoder and its decoder are chosen apart, and what is named narrows both.

    Args:
        version: a version of the store or a plain folder.
        choice: backend, precision, device, threads; default: everything ``auto``.

    Raises:
        CheckpointError: nothing that was asked for can run.
    """
    from model_store.backends.seq2seq.load import open_pair
    from model_store.choose_seq2seq import Pair, choose_pairs_on_cpu

    choice = choice or BackendChoice()
    if choice.backend == "fake":
        from model_store.backends.seq2seq.fake import FakeSeq2Seq

        config = read_json(version.folder / "config.json")
        return FakeSeq2Seq(int(decoder_config(config)["vocab_size"]))
    threads = choice.threads or compute_threads()
    if choice.device == "cuda" or (choice.device == "auto" and choice.backend != "openvino"):
        candidate = _on_gpu(choice)
        if candidate is not None:
            return open_pair(version, Pair(candidate, candidate), threads)
    pairs = choose_pairs_on_cpu(version, choice, threads)
    for pair in pairs:
        try:
            backend = open_pair(version, pair, threads)
        except CheckpointError as error:
            if pair is pairs[-1]:
                raise
            log.warning("%s: %s is left out: %s", version.id, pair.id, error)
            continue
        log.info("%s runs on %s with %d threads", version.id, pair.id, threads)
        return backend
    raise AssertionError("a choice has at least one pair")


def open_candidate(
    version: ModelVersion, candidate: Candidate, threads: int, streams: int = 1
) -> Backend:
    """Load exactly this candidate.

    Args:
        version: what is loaded.
        candidate: how.
        threads: of each stream.
        streams: callers at once.

    Raises:
        CheckpointError: its runtime refuses.
    """
    precision, device = candidate.precision, candidate.device
    match candidate.backend:
        case "torch":
            from model_store.backends.torch import open_torch

            return open_torch(
                version.folder,
                version.manifest.task,
                precision=precision,
                device=device,
                threads=threads,
            )
        case "onnxruntime":
            from model_store.backends.onnxruntime import open_onnxruntime
            from model_store.timings import user_cache

            return open_onnxruntime(
                onnx_path(version, precision),
                precision=precision,
                device=device,
                threads=threads,
                engine_cache=user_cache() / "tensorrt" if precision in ("fp16", "bf16") else None,
            )
        case "openvino":
            from model_store.backends.openvino import open_openvino
            from model_store.timings import user_cache

            return open_openvino(
                onnx_path(version, precision),
                precision=precision,
                threads=threads,
                streams=streams,
                cache_folder=user_cache() / "openvino",
            )
    raise CheckpointError(f"{candidate.backend!r} is no backend.")


def _opened(version: ModelVersion, candidate: Candidate, threads: int, streams: int) -> Backend:
    backend = open_candidate(version, candidate, threads, streams)
    log.info(
        "%s runs on %s, %d at once with %d threads each", version.id, candidate.id, streams, threads
    )
    return backend


def _on_gpu(choice: BackendChoice) -> Candidate | None:
    """The candidate for a GPU; None where there is none and none was asked for."""
    from model_store.backends.gpu import has_nvidia_gpu, ort_has_cuda, torch_capability

    if not has_nvidia_gpu():
        if choice.device == "cuda":
            raise CheckpointError("No NVIDIA GPU was found; use --device cpu or auto.")
        return None
    try:
        return cuda_candidate(choice, torch_capability(), ort_cuda=ort_has_cuda())
    except CheckpointError as error:
        if choice.device == "cuda":
            raise
        log.warning("The GPU is not used: %s", error)
        return None
