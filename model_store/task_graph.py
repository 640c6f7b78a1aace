"""What of a transformers model runs for a task: arrays in, the task's outputs out, one module.

The torch backend runs it, and the exporter writes it down as ONNX: the same operations. Embeddings
are pooled inside, and the vocabulary head of a masked model sees the masked position only, so that
what leaves a graph is small: a vector per row, not one per token.
"""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contracts.errors import CheckpointError
from contracts.tasks import Task
from model_store.embedding import Dense, Embedding, read_embedding
from model_store.files import read_json

if TYPE_CHECKING:
    import torch

MASK_POSITIONS = "mask_positions"
"""The input ``(rows, 1)`` of a masked model: which token of each row is proposed for."""

OUTPUT_NAMES: dict[Task, tuple[str, ...]] = dict.fromkeys(Task, ("logits",)) | {
    Task.QUESTION_ANSWERING: ("start_logits", "end_logits"),
    Task.FEATURE_EXTRACTION: ("embeddings",),
}
"""What a model of each task returns, in order; ONNX files use the same names."""


def task_graph(model: Any, task: Task, folder: Path) -> "torch.nn.Module":
    """Wrap a model as a function of our arrays that returns a tuple in the order of OUTPUT_NAMES.

    Args:
        model: of transformers, in evaluation mode.
        task: what it is asked.
        folder: of the checkpoint, where it says how it embeds.

    Raises:
        CheckpointError: its modules cannot be run.
    """
    if task is Task.FEATURE_EXTRACTION:
        return _embedder(model, folder)
    if task is Task.FILL_MASK:
        return _masked(model)
    return _plain(model, OUTPUT_NAMES[task])


def graph_inputs(model: Any, task: Task) -> frozenset[str]:
    """Which arrays the graph takes: token types only where the model embeds more than one."""
    import inspect

    accepted = inspect.signature(model.forward).parameters
    names = {"input_ids", "attention_mask"}
    if "token_type_ids" in accepted and (getattr(model.config, "type_vocab_size", 0) or 0) > 1:
        names.add("token_type_ids")
    if task is Task.FILL_MASK:
        names.add(MASK_POSITIONS)
    return frozenset(names)


def _plain(model: Any, outputs: tuple[str, ...]) -> "torch.nn.Module":
    import torch

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(
            self,
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            token_type_ids: torch.Tensor | None = None,
        ) -> tuple[torch.Tensor, ...]:
            answer = self.model(**_inputs(model, input_ids, attention_mask, token_type_ids))
            return tuple(answer[name] for name in outputs)

    return Plain().eval()


def _masked(model: Any) -> "torch.nn.Module":
    import torch

    class Masked(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.call = threading.local()  # several threads may run the graph at once
            model.base_model.register_forward_hook(self._only_the_mask)

        def _only_the_mask(self, _: Any, __: Any, output: Any) -> Any:
            hidden = output[0]
            places = self.call.positions.unsqueeze(-1).expand(-1, 1, hidden.shape[-1])
            output.last_hidden_state = torch.gather(hidden, 1, places)
            return output

        def forward(
            self,
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            token_type_ids: torch.Tensor | None = None,
            mask_positions: torch.Tensor | None = None,
        ) -> tuple[torch.Tensor, ...]:
            self.call.positions = mask_positions
            answer = self.model(**_inputs(model, input_ids, attention_mask, token_type_ids))
            return (answer["logits"][:, 0],)

    return Masked().eval()


def _embedder(model: Any, folder: Path) -> "torch.nn.Module":
    import torch

    settings: Embedding = read_embedding(folder, read_json(folder / "config.json"))

    class Embedder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.layers = torch.nn.Sequential(
                *(layer for dense in settings.dense for layer in _dense_layers(folder, dense))
            )

        def forward(
            self,
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            token_type_ids: torch.Tensor | None = None,
        ) -> tuple[torch.Tensor, ...]:
            answer = self.model(**_inputs(model, input_ids, attention_mask, token_type_ids))
            # In float32 whatever the weights are: a long text sums many numbers.
            hidden = answer[0].float()
            mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
            pooled = [_pooled(mode, hidden, mask) for mode in settings.pooling]
            return (self.layers(torch.cat(pooled, dim=-1)),)

    return Embedder().eval()


def _pooled(mode: str, hidden: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
    """One vector per row, as sentence-transformers' ``Pooling`` makes it of rows padded behind.

    Args:
        mode: see ``model_store.embedding.Pooling``.
        hidden: ``(rows, tokens, size)``.
        mask: 1 or 0, ``(rows, tokens, 1)``.
    """
    import torch

    if mode == "cls":
        return hidden[:, 0]
    if mode == "max":
        return hidden.masked_fill(mask == 0, float("-inf")).amax(dim=1)
    if mode == "lasttoken":
        last = (mask.sum(dim=1, keepdim=True) - 1).to(torch.int64)
        return torch.gather(hidden, 1, last.expand(-1, 1, hidden.shape[-1]))[:, 0]
    if mode == "weightedmean":
        mask = mask * torch.arange(1, hidden.shape[1] + 1, dtype=mask.dtype).view(1, -1, 1).to(
            mask.device
        )
    # By a product: ONNX Runtime adds up a lone row in another order than one of several.
    total, count = torch.matmul(mask.transpose(1, 2), hidden)[:, 0], mask.sum(dim=1)
    return total / (count.sqrt() if mode == "mean_sqrt_len_tokens" else count)


def _dense_layers(folder: Path, dense: Dense) -> list["torch.nn.Module"]:
    import torch
    from safetensors.torch import load_file

    path = folder / dense.path
    weights = load_file(path)
    weight, bias = weights.get("linear.weight"), weights.get("linear.bias")
    if weight is None or weight.shape[0] != dense.out_features:
        raise CheckpointError(f"{path} does not hold the linear layer that its config.json names.")
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.load_state_dict({name.removeprefix("linear."): value for name, value in weights.items()})
    activation: torch.nn.Module = getattr(torch.nn, dense.activation)()
    return [layer.float(), activation]


def _inputs(
    model: Any,
    input_ids: "torch.Tensor",
    attention_mask: "torch.Tensor",
    token_type_ids: "torch.Tensor | None",
) -> dict[str, "torch.Tensor"]:
    import torch

    inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
    if torch.compiler.is_exporting() and getattr(model.config, "rope_parameters", None) is not None:
        # Written out for every row: the ONNX operator does not broadcast its angles.
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        inputs["position_ids"] = positions.expand_as(input_ids)
    if token_type_ids is not None:
        inputs["token_type_ids"] = token_type_ids
    return inputs
