"""A backend without a model: a deterministic function of each row's unmasked ids alone.

For tests and dry runs. An answer is the same to the last bit whoever shares the batch and however
far a row is padded, so that any difference is the fault of the code around it.
"""

from collections.abc import Mapping
from typing import Literal, Self

import numpy as np

from contracts.errors import BackendFailure
from contracts.tasks import Task
from contracts.tensors import Array, Tensors
from model_store.manifest import Manifest

Axis = Literal["row", "token", "mask"]


class FakeBackend:
    """Hashes ids into logits between -4 and 4."""

    name = "fake"
    precision = "fp32"
    device = "cpu"
    bytes = 0
    batchable = True

    def __init__(
        self, outputs: Mapping[str, tuple[Axis, int | None]], poison_id: int | None = None
    ) -> None:
        """Configure the outputs.

        Args:
            outputs: by name, whether one value is computed per row, per token, or for the token
                that ``mask_positions`` names, and the number of labels; None leaves the label axis
                out.
            poison_id: a token id that makes the whole batch fail, as a broken kernel would.
        """
        self.outputs = dict(outputs)
        masked = {"mask_positions"} if any(axis == "mask" for axis, _ in outputs.values()) else ()
        self.input_names = frozenset({"input_ids", "attention_mask", *masked})
        self.poison_id = poison_id

    @classmethod
    def for_manifest(cls, manifest: Manifest, vocabulary: int = 100) -> Self:
        """The outputs that a model of this task and these labels has.

        Args:
            manifest: of the model.
            vocabulary: its size, which a masked model has one logit for each of.
        """
        labels = max(1, len(manifest.labels))
        match manifest.task:
            case Task.TEXT_CLASSIFICATION:
                return cls({"logits": ("row", labels)})
            case Task.QUESTION_ANSWERING:
                return cls({"start_logits": ("token", None), "end_logits": ("token", None)})
            case Task.FEATURE_EXTRACTION:
                dimensions = manifest.embedding.dimensions if manifest.embedding else labels
                return cls({"embeddings": ("row", dimensions)})
            case Task.FILL_MASK:
                return cls({"logits": ("mask", vocabulary)})
            case _:
                return cls({"logits": ("token", labels)})

    def run(self, inputs: Tensors) -> Tensors:
        """Execute one padded batch; masked tokens get zeros.

        Raises:
            BackendFailure: a row holds the poison id.
        """
        ids, mask = inputs["input_ids"], inputs["attention_mask"].astype(bool)
        if self.poison_id is not None and bool((ids[mask] == self.poison_id).any()):
            raise BackendFailure("A row holds the poison token.")
        tokens = mix(ids.astype(np.uint64) * np.uint64(2) + np.uint64(1))
        places = np.arange(ids.shape[1], dtype=np.uint64)
        tokens = np.where(mask, mix(tokens + places), np.uint64(0))
        rows = mix(tokens.sum(axis=1, dtype=np.uint64))
        results: Tensors = {}
        for number, (name, (axis, labels)) in enumerate(self.outputs.items()):
            # Every token's value depends on its whole row, as attention makes it.
            seeds = rows if axis == "row" else mix(tokens + rows[:, None])
            if axis == "mask":
                seeds = np.take_along_axis(seeds, inputs["mask_positions"], axis=1)[:, 0]
            seeds = seeds + np.uint64(number)
            if labels is not None:
                seeds = seeds[..., None] + np.arange(1, labels + 1, dtype=np.uint64) * _STEP
            values = unit(mix(seeds)) * 8 - 4
            if axis == "token":
                values = np.where(mask.reshape(mask.shape + (1,) * (values.ndim - 2)), values, 0)
            results[name] = values.astype(np.float32)
        return results

    def close(self) -> None:
        """Nothing to free."""


_STEP = np.uint64(0x9E3779B97F4A7C15)


def mix(values: Array) -> Array:
    """The finaliser of splitmix64 (Steele, Lea and Flood, 2014), which wraps around on purpose."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Array = values ^ (values >> np.uint64(31))
    return mixed


def unit(values: Array) -> Array:
    """From 64 random bits to ``[0, 1)``."""
    unit: Array = (values >> np.uint64(11)).astype(np.float64) / float(1 << 53)
    return unit
