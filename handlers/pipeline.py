"""One loaded model: preprocess -> plan -> run -> postprocess, one answer or error per item.

The server's engine, ``tuneserve predict`` and the training gate all go through this class: what
passes the gate is what serves.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from contracts.errors import ServingError
from contracts.tensors import IDS, Tensors
from handlers.base import Handler, Prepared
from handlers.batching import padded_length, plan_batches
from handlers.tokenization import MaskedRow, Row
from model_store.backends.base import Backend
from model_store.task_graph import MASK_POSITIONS

CPU_BATCH_TOKENS = 512
"""Padded tokens of one batch: enough to fill a core's kernels, short enough to be fair."""
GPU_BATCH_TOKENS = 16_384


class Pipeline:
    """A handler around a backend."""

    def __init__(
        self, handler: Handler[Any, Any], backend: Backend, batch_tokens: int | None = None
    ) -> None:
        """Put them together.

        Args:
            handler: of the model's task.
            backend: with the model.
            batch_tokens: padded tokens of one batch; None: what fits most models on its device.
        """
        self.handler = handler
        self.backend = backend
        self._few_lengths = backend.name == "openvino" or backend.device != "cpu"
        """Both make kernels, or plans, for each shape that they meet."""
        usual = CPU_BATCH_TOKENS if backend.device == "cpu" else GPU_BATCH_TOKENS
        self.batch_tokens = batch_tokens or usual

    def __call__(
        self, items: Sequence[Any], max_batch_tokens: int | None = None
    ) -> list[Any | ServingError]:
        """Answer all items, batched; the answer of one never depends on the others.

        Returns:
            One answer or ``ServingError`` per item, in order.
        """
        prepared = self.handler.preprocess(items)
        rows = [row for one in prepared if isinstance(one, Prepared) for row in one.rows]
        lengths = [self.padded_length(row) for row in rows]
        outputs: list[Tensors] = [{}] * len(rows)
        for batch in plan_batches(lengths, max_batch_tokens or self.batch_tokens):
            ran = self.run([rows[index] for index in batch], lengths[batch[0]])
            for index, output in zip(batch, ran, strict=True):
                outputs[index] = output
        answers: list[Any | ServingError] = []
        taken = 0
        for item, one in zip(items, prepared, strict=True):
            if isinstance(one, ServingError):
                answers.append(one)
                continue
            mine = outputs[taken : taken + len(one.rows)]
            taken += len(one.rows)
            answers.append(self.handler.postprocess(item, one, mine))
        return answers

    def padded_length(self, row: Row) -> int:
        """Tokens that a row costs: its length and its padding, which depend on the row alone."""
        few = self._few_lengths
        return padded_length(len(row), self.handler.manifest.max_tokens, few=few)

    def run(self, rows: Sequence[Row], padded_tokens: int) -> list[Tensors]:
        """Run rows as one batch, padded to ``padded_tokens``; one by one where company would show.

        Returns:
            Per row, what the handler keeps of its outputs, without the row axis and padding.
        """
        if len(rows) > 1 and not self.backend.batchable:
            return [output for row in rows for output in self.run([row], padded_tokens)]
        outputs = self.backend.run(padded(rows, padded_tokens, self.handler.tokenizer.pad_id))
        return [
            self.handler.condense(
                row,
                {
                    name: array[index, : len(row)] if self.handler.per_token else array[index]
                    for name, array in outputs.items()
                },
            )
            for index, row in enumerate(rows)
        ]

    def close(self) -> None:
        """Free the backend."""
        self.backend.close()


def padded(rows: Sequence[Row], length: int, pad_id: int) -> Tensors:
    """Rows as the arrays of one batch; where they have masks, with ``mask_positions``.

    Args:
        rows: at least one, none longer than ``length``.
        length: of every row with its padding.
        pad_id: of the tokens behind a row's own.
    """
    shape = (len(rows), length)
    input_ids = np.full(shape, pad_id, dtype=IDS)
    attention_mask = np.zeros(shape, dtype=IDS)
    token_type_ids = np.zeros(shape, dtype=IDS)
    for index, row in enumerate(rows):
        input_ids[index, : len(row)] = row.input_ids
        attention_mask[index, : len(row)] = 1
        token_type_ids[index, : len(row)] = row.token_type_ids
    arrays = {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "token_type_ids": token_type_ids,
    }
    if isinstance(rows[0], MaskedRow):
        places = [[row.mask_position] for row in rows if isinstance(row, MaskedRow)]
        arrays[MASK_POSITIONS] = np.array(places, dtype=IDS)
    return arrays
