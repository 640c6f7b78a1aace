"""CUDA graphs: the kernels of a short batch are launched at once, as they were recorded.

A short batch takes a GPU less time than Python takes to launch its few hundred kernels one by one.
A graph has fixed shapes, so rows are filled up to a power of two; token lengths come from few
steps already. What is longer is bound by computing, and runs as it is.

Not run on a GPU yet; all but ``record_on_cuda`` is tested without one.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contracts.errors import first_line

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

Inputs = dict[str, "Tensor"]

MOST_TOKENS = 1024
"""Padded tokens of a batch that is short."""

MOST_GRAPHS = 64
"""Shapes that are recorded; those that come later run as they are. Each holds its buffers."""

WARM_UPS = 3
"""Runs before a recording: libraries choose kernels and allocate workspaces in them."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A graph with the tensors that it reads and writes, each at its place for good."""

    inputs: Inputs
    replay: Callable[[], None]
    outputs: "tuple[Tensor, ...]"


class GraphedModel:
    """A model on a GPU that answers short batches by replaying graphs."""

    def __init__(self, model: Any, record: Callable[[Any, Inputs], Recorded] | None = None) -> None:
        """Wrap a model; nothing is recorded before a shape comes.

        Args:
            model: takes tensors by name, first axis rows, and returns a tuple of such.
            record: makes the graph of a shape from inputs of it; the default is CUDA's.
        """
        self._model = model
        self._record = record or record_on_cuda
        self._graphs: dict[tuple[int, int], Recorded] = {}
        self._refused = False
        self._lock = threading.Lock()  # a graph's tensors hold one batch at a time

    def __call__(self, **inputs: "Tensor") -> "tuple[Tensor, ...]":
        """Run one padded batch; outputs are the caller's own."""
        rows, tokens = inputs["input_ids"].shape
        shape = (1 << (rows - 1).bit_length(), tokens)
        if shape[0] * tokens > MOST_TOKENS:
            return tuple(self._model(**inputs))
        with self._lock:
            graph = self._graph(shape, inputs)
            if graph is None:
                return tuple(self._model(**inputs))
            for name, place in graph.inputs.items():
                place[:rows].copy_(inputs[name], non_blocking=True)
            graph.replay()
            return tuple(output[:rows].clone() for output in graph.outputs)

    def _graph(self, shape: tuple[int, int], inputs: Inputs) -> Recorded | None:
        """The graph of a shape, recorded if it is new; None where there is to be none."""
        found = self._graphs.get(shape)
        if found or self._refused or len(self._graphs) >= MOST_GRAPHS:
            return found
        try:
            found = self._record(self._model, _filled(inputs, shape[0]))
        except RuntimeError as error:  # a model that asks its tensors something on the way
            self._refused = True
            log.warning("no CUDA graphs: %s", first_line(error))
            return None
        self._graphs[shape] = found
        return found


def record_on_cuda(model: Any, inputs: Inputs) -> Recorded:
    """Record one run of a model.

    Args:
        model: as ``GraphedModel`` takes it.
        inputs: on the GPU; they become the graph's own.

    Raises:
        RuntimeError: something in the model cannot be recorded.
    """
    import torch

    beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(WARM_UPS):
            model(**inputs)
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = tuple(model(**inputs))
    return Recorded(inputs, graph.replay, outputs)


def _filled(inputs: Inputs, rows: int) -> Inputs:
    """Inputs with the last row repeated, so that every row is one that the model knows."""
    import torch

    return {
        name: torch.cat([tensor, tensor[-1:].expand(rows - len(tensor), *tensor.shape[1:])])
        for name, tensor in inputs.items()
    }
