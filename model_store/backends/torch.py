"""PyTorch: the checkpoint as transformers loads it, in fp32, bf16 or fp16."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contracts.errors import CheckpointError, first_line
from contracts.tasks import GENERATION_TASKS, Task
from contracts.tensors import Array, Tensors
from model_store.backends.cuda_graphs import GraphedModel
from model_store.files import read_json
from model_store.task_graph import OUTPUT_NAMES, graph_inputs, task_graph

if TYPE_CHECKING:
    import torch

AUTO_CLASSES = {
    Task.TEXT_CLASSIFICATION: "AutoModelForSequenceClassification",
    Task.TOKEN_CLASSIFICATION: "AutoModelForTokenClassification",
    Task.QUESTION_ANSWERING: "AutoModelForQuestionAnswering",
    Task.SUMMARIZATION: "AutoModelForTokenClassification",
    Task.TRANSLATION: "AutoModelForSeq2SeqLM",
    Task.TEXT2TEXT_GENERATION: "AutoModelForSeq2SeqLM",
    Task.FEATURE_EXTRACTION: "AutoModel",
    Task.FILL_MASK: "AutoModelForMaskedLM",
}
"""The transformers class that loads a checkpoint of each task; see ``auto_class`` for summaries."""

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


class TorchBackend:
    """A transformers model in inference mode."""

    name = "torch"
    batchable = True

    def __init__(
        self,
        model: Any,
        task: Task,
        precision: str,
        device: str,
        inputs: frozenset[str],
        threads: int,
    ) -> None:
        """Wrap what ``task_graph`` made; see ``open_torch``."""
        self.precision = precision
        self.device = device
        self.input_names = inputs
        self.bytes = sum(
            tensor.numel() * tensor.element_size()
            for tensor in [*model.parameters(), *model.buffers()]
        )
        self._model: Any = GraphedModel(model) if device == "cuda" else model
        self._threads = threads
        self._callers = threading.local()
        self._outputs = OUTPUT_NAMES[task]

    def run(self, inputs: Tensors) -> Tensors:
        """Execute one padded batch; bf16 and fp16 results are widened to float32."""
        import torch

        if self.device == "cpu" and getattr(self._callers, "threads", None) != self._threads:
            torch.set_num_threads(self._threads)  # it holds for the thread that calls it
            self._callers.threads = self._threads
        with torch.inference_mode():
            tensors = {name: self._placed(inputs[name]) for name in self.input_names}
            answer = self._model(**tensors)
            return {
                name: value.float().cpu().numpy()
                for name, value in zip(self._outputs, answer, strict=True)
            }

    def _placed(self, array: Array) -> "torch.Tensor":
        """An array where the model is; to a GPU without waiting, out of memory that stays put."""
        import torch

        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if self.device == "cpu":
            return tensor
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def close(self) -> None:
        """Free the weights."""
        self._model = None
        if self.device == "cuda":
            import torch

            torch.cuda.empty_cache()


def open_torch(
    folder: Path, task: Task, *, precision: str = "fp32", device: str = "cpu", threads: int = 1
) -> TorchBackend:
    """Load a checkpoint's safetensors.

    Args:
        folder: with ``config.json`` and the weights.
        task: chooses the transformers class.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        device: ``cpu`` or ``cuda``.
        threads: of each caller.

    Raises:
        CheckpointError: transformers cannot load the folder, or weights are missing.
    """
    import torch

    if device == "cpu":
        torch.set_num_threads(threads)
    model = load_model(folder, task, dtype=getattr(torch, DTYPES[precision]))
    graph = task_graph(model, task, folder).to(device)
    return TorchBackend(graph, task, precision, device, graph_inputs(model, task), threads)


def load_model(
    folder: Path, task: Task, *, dtype: "torch.dtype | None" = None, attention: str | None = None
) -> Any:
    """The transformers model of a folder, in evaluation mode.

    Args:
        folder: with ``config.json`` and the weights.
        task: chooses the transformers class.
        dtype: of the weights; default float32.
        attention: ``eager`` or ``sdpa``; None: SDPA where the architecture has it.

    Raises:
        CheckpointError: transformers cannot load the folder, or weights are missing.
    """
    import torch
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()
    options: dict[str, Any] = {"dtype": dtype or torch.float32}
    if attention is not None:
        options["attn_implementation"] = attention
    loader = getattr(transformers, auto_class(folder, task))
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        model, report = loader.from_pretrained(
            folder,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            **options,
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise CheckpointError(
            f"{folder} cannot be loaded by transformers {transformers.__version__}: "
            f"{first_line(error)}"
        ) from error
    finally:
        logging.set_verbosity(before)
    missing = sorted(report["missing_keys"]) + [str(key) for key in report["mismatched_keys"]]
    if task is Task.FEATURE_EXTRACTION:  # pools itself
        missing = [name for name in missing if not name.startswith("pooler.")]
    if missing:
        raise CheckpointError(
            f"{folder} lacks weights ({', '.join(missing[:3])}); fine-tune it for {task} first, or "
            "save the whole model."
        )
    return model.eval()


def auto_class(folder: Path, task: Task) -> str:
    """The transformers class for a checkpoint: summaries are extracted, or generated."""
    path = folder / "config.json"
    generates = task in GENERATION_TASKS and path.is_file()
    if generates and read_json(path).get("is_encoder_decoder"):
        return "AutoModelForSeq2SeqLM"
    return AUTO_CLASSES[task]
