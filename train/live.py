"""The model in training behind the backend seam: dev scores come from the server's pipeline."""

import inspect
from typing import Any

from contracts.tensors import Tensors
from train.rows import INPUTS


def input_names(model: Any) -> frozenset[str]:
    """What a model's ``forward`` takes of a batch."""
    return frozenset(inspect.signature(model.forward).parameters) & INPUTS


class LiveBackend:
    """A torch module as it stands; see ``model_store.backends.base.Backend``."""

    name = "torch"
    device = "cpu"
    batchable = True
    bytes = 0

    def __init__(self, model: Any, *, bf16: bool, input_names: frozenset[str]) -> None:
        """Wrap a model.

        Args:
            model: of transformers; its mode is put back after every run.
            bf16: compute in bfloat16, as the training steps do.
            input_names: what ``forward`` takes.
        """
        self.model = model
        self.precision = "bf16" if bf16 else "fp32"
        self.input_names = input_names

    def run(self, inputs: Tensors) -> Tensors:
        """One padded batch, in evaluation mode."""
        import torch

        training = self.model.training
        self.model.eval()
        device = self.model.device
        arrays = {
            name: torch.from_numpy(array).to(device)
            for name, array in inputs.items()
            if name in self.input_names
        }
        with (
            torch.inference_mode(),
            torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16"),
        ):
            outputs = self.model(**arrays, return_dict=True)
        self.model.train(training)
        return {name: tensor.float().cpu().numpy() for name, tensor in outputs.items()}

    def close(self) -> None:
        """Nothing is owned."""
