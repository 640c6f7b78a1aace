"""Text classification: one row per text or pair, logits to scores, the best labels first.

Single label (softmax), multi-label (sigmoid) and regression (as it is), chosen as the text
classification pipeline of transformers 4.57 chooses. A long text is read in windows where the
caller asks for it; the logits of its windows are averaged.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from contracts.errors import InputTooLong, InvalidRequest, ServingError
from contracts.schemas import ClassificationItem, LabelScore
from contracts.tasks import Task
from contracts.tensors import Array, Tensors
from handlers.base import Handler, Prepared
from handlers.tokenization import Row, TextTokenizer, Window
from model_store.manifest import Manifest

Function = Literal["softmax", "sigmoid", "none"]

OVERLAP = 8
"""Neighbouring windows share at least one part in this many."""
SHORTER_SHARE = 2
"""Read in windows, a pair's shorter text may fill at most one part in this many of a row."""


class ClassificationHandler(Handler[ClassificationItem, list[LabelScore]]):
    """Labels with scores for a text or a pair of texts."""

    task = Task.TEXT_CLASSIFICATION
    item = ClassificationItem
    per_token = False

    def __init__(self, manifest: Manifest, tokenizer: TextTokenizer) -> None:
        """Choose the function from logits to scores that the checkpoint was trained for."""
        super().__init__(manifest, tokenizer)
        self.function = default_function(manifest.problem_type, len(manifest.labels))
        self.temperature = manifest.temperature or 1.0

    def preprocess(self, items: Sequence[ClassificationItem]) -> list[Prepared | ServingError]:
        """One row per item, or several windows, or ``InputTooLong``."""
        texts = [text for item in items for text in (item.text, item.text_pair) if text is not None]
        encoded = iter(self.tokenizer.encode(texts))
        prepared: list[Prepared | ServingError] = []
        for item in items:
            ids = next(encoded).ids
            if item.text_pair is None:
                prepared.append(self._single(ids, item.parameters.long))
            else:
                prepared.append(self._pair(ids, next(encoded).ids, item.parameters.long))
        return prepared

    def postprocess(
        self, item: ClassificationItem, prepared: Prepared, outputs: Sequence[Tensors]
    ) -> list[LabelScore]:
        """Scores of the mean logits over all rows, sorted, at most ``top_k`` of them.

        A fitted temperature makes probabilities calibrated; logits asked for as they are stay so.
        """
        rows = np.array([output["logits"] for output in outputs], dtype=np.float64)
        logits = np.asarray(rows.mean(axis=0))
        parameters = item.parameters
        function = parameters.function_to_apply or self.function
        if function != "none":
            logits = logits / self.temperature
        values = apply_function(function, logits)
        best = np.argsort(-values, kind="stable")[: parameters.top_k]
        labels = self.manifest.labels
        return [
            {"label": labels[index], "score": value}
            for index, value in zip(best.tolist(), values[best].tolist(), strict=True)
        ]

    def _single(self, ids: list[int], long: str) -> Prepared | ServingError:
        tokenizer = self.tokenizer
        room = tokenizer.room()
        if len(ids) <= room:
            return Prepared([tokenizer.row(ids)])
        if long == "truncate":
            return Prepared([tokenizer.row(ids[:room])], truncated=True)
        if long == "window":
            return Prepared(
                [tokenizer.row(ids[w.start : w.end]) for w in even_windows(len(ids), room)]
            )
        return InputTooLong(len(ids) + tokenizer.max_tokens - room, tokenizer.max_tokens)

    def _pair(self, first: list[int], second: list[int], long: str) -> Prepared | ServingError:
        tokenizer = self.tokenizer
        room = tokenizer.room(pair_with=0)
        total = len(first) + len(second)
        if total <= room:
            return Prepared([tokenizer.pair_row(first, second)])
        if long == "truncate":
            left, right = longest_first(len(first), len(second), room)
            return Prepared([tokenizer.pair_row(first[:left], second[:right])], truncated=True)
        if long == "window":
            return self._pair_windows(first, second, room)
        return InputTooLong(total + tokenizer.max_tokens - room, tokenizer.max_tokens)

    def _pair_windows(
        self, first: list[int], second: list[int], room: int
    ) -> Prepared | ServingError:
        """Windows over the longer text (of equals, the second), each with all of the other."""
        shorter = min(len(first), len(second))
        if shorter > room // SHORTER_SHARE:
            return InvalidRequest(
                f"The shorter text of the pair has {shorter} tokens, and windows over the longer "
                f"one need it to have at most {room // SHORTER_SHARE}; "
                'send parameters.long = "truncate", or a shorter text.'
            )
        rows: list[Row] = []
        for window in even_windows(max(len(first), len(second)), room - shorter):
            piece = slice(window.start, window.end)
            if len(first) > len(second):
                rows.append(self.tokenizer.pair_row(first[piece], second))
            else:
                rows.append(self.tokenizer.pair_row(first, second[piece]))
        return Prepared(rows)


def default_function(problem_type: str | None, labels: int) -> Function:
    """How transformers 4.57's pipeline turns logits into scores when the caller does not say.

    Regression must be declared by ``problem_type``: one label without it is read as a probability.
    """
    if problem_type == "regression":
        return "none"
    if problem_type == "multi_label_classification" or labels == 1:
        return "sigmoid"
    return "softmax"


def apply_function(function: Function, logits: Array) -> Array:
    """From logits to scores over the last axis, without overflow for any finite logits."""
    if function == "softmax":
        exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))
    if function == "sigmoid":
        return np.asarray(np.exp(-np.logaddexp(0.0, -logits)))
    return logits


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Tokens that remain of a pair when the longer text is cut, and both alike once they are equal.

    The same lengths as ``longest_first`` truncation in the tokenizers library.
    """
    shorter, longer = sorted((first, second))
    longer = max(shorter, room - shorter)
    if shorter + longer > room:
        shorter, longer = room // 2, room - room // 2
    return (longer, shorter) if first > second else (shorter, longer)


def even_windows(tokens: int, room: int) -> list[Window]:
    """Cover a text with full windows at even distances, from its first token to its last.

    All have ``room`` tokens, so that each may weigh the same in a mean.

    Args:
        tokens: of the text, more than ``room``.
        room: tokens of one window, at least 1.
    """
    step = room - room // OVERLAP
    steps = -(-(tokens - room) // step)
    starts = [(tokens - room) * index // steps for index in range(steps + 1)]
    return [Window(start, start + room) for start in starts]
