"""The backend seam: a protocol of one method, and the words to choose a backend by."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from contracts.errors import CheckpointError
from contracts.tensors import Tensors
from model_store.backends.cpu import compute_threads

BackendName = Literal["auto", "torch", "onnxruntime", "openvino", "fake"]
PrecisionName = Literal["auto", "fp32", "bf16", "fp16", "int8"]
DeviceName = Literal["auto", "cpu", "cuda"]


INPUT_NAMES = frozenset({"input_ids", "attention_mask", "token_type_ids", "mask_positions"})
"""The arrays that a handler makes; a graph may take any of them and no others."""


@runtime_checkable
class Backend(Protocol):
    """Arrays in, arrays out; knows no text and no task.

    ``run`` takes ``input_ids`` and ``attention_mask``, int64, ``(rows, tokens)`` (where
    ``input_names`` has them also ``token_type_ids``, and ``mask_positions``, ``(rows, 1)``; other
    keys are ignored) and returns every output of the graph by name as float32, first axis rows:
    ``logits`` ``(rows, labels)`` or ``(rows, tokens, labels)``; question answering has
    ``start_logits`` and ``end_logits`` ``(rows, tokens)``; feature extraction ``embeddings``
    ``(rows, dimensions)``; fill-mask ``logits`` ``(rows, vocabulary)`` of the masked token. It does
    not keep its arguments. As many threads may call it at once as it was loaded with streams.
    """

    name: str
    """``torch``, ``onnxruntime``, ``openvino`` or ``fake``."""
    precision: str
    device: str
    input_names: frozenset[str]
    bytes: int
    """Size of the loaded artifact."""
    batchable: bool
    """False where an answer would depend on its neighbours (dynamic int8): rows run alone."""

    def run(self, inputs: Tensors) -> Tensors:
        """Execute one padded batch."""
        ...

    def close(self) -> None:
        """Free memory and threads; the backend is not used again."""
        ...


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """What the user asked for; ``auto`` leaves it to measurement and rules."""

    backend: BackendName = "auto"
    precision: PrecisionName = "auto"
    device: DeviceName = "auto"
    threads: int | None = None
    """Compute threads of all streams; None: the CPU quota of the control group."""
    streams: int = 1
    """Batches that run at once, each with its share of the threads."""

    @property
    def threads_per_stream(self) -> int:
        """Threads of one batch."""
        return max(1, (self.threads or compute_threads()) // self.streams)


def check_inputs(path: Path, names: Iterable[str]) -> None:
    """Refuse a graph that wants arrays nobody makes.

    Raises:
        CheckpointError: it names one.
    """
    unknown = sorted(set(names) - INPUT_NAMES)
    if unknown:
        raise CheckpointError(
            f"{path} has the input {unknown[0]!r}, which text does not give; export it with "
            "`tuneserve export`."
        )
