"""Zero-shot classification: does the text entail the sentence that a label makes?

The numbers are those of the ``zero-shot-classification`` pipeline of transformers 5. There, a text
that is too long is cut without a word; here that must be asked for, as for any classification.
"""

from collections.abc import Sequence

import numpy as np

from contracts.errors import InputTooLong, InvalidRequest, ServingError
from contracts.schemas import LabelScore
from contracts.tasks import Task
from contracts.tensors import Tensors
from contracts.zero_shot import ZeroShotItem, entailment_index
from handlers.base import Handler, Prepared
from handlers.classification import apply_function, even_windows
from handlers.tokenization import Row, TextTokenizer
from model_store.manifest import Manifest


class ZeroShotHandler(Handler[ZeroShotItem, list[LabelScore]]):
    """Every candidate label with its score, best first."""

    task = Task.ZERO_SHOT_CLASSIFICATION
    item = ZeroShotItem
    per_token = False

    def __init__(self, manifest: Manifest, tokenizer: TextTokenizer) -> None:
        """Find the class of entailment, and the one against it."""
        super().__init__(manifest, tokenizer)
        entailment = entailment_index(manifest.labels)
        if entailment is None:
            raise ValueError("a classifier without entailment")
        self.entailment = entailment
        # As transformers: the first class, or the last where the first means entailment.
        self.contradiction = 0 if entailment else len(manifest.labels) - 1

    def preprocess(self, items: Sequence[ZeroShotItem]) -> list[Prepared | ServingError]:
        """For each label a row of text and hypothesis, or one per window of the text."""
        texts = dict.fromkeys(text for item in items for text in (item.text, *hypotheses(item)))
        encoded = dict(zip(texts, self.tokenizer.encode(list(texts)), strict=True))
        return [
            self._prepare(
                encoded[item.text].ids,
                [encoded[text].ids for text in hypotheses(item)],
                item.parameters.long,
            )
            for item in items
        ]

    def postprocess(
        self, item: ZeroShotItem, prepared: Prepared, outputs: Sequence[Tensors]
    ) -> list[LabelScore]:
        """Labels compete by their entailment; each alone, entailment competes with contradiction.

        The logits of a text's windows are averaged.
        """
        labels = item.candidate_labels
        logits = np.array([output["logits"] for output in outputs], dtype=np.float64)
        logits = logits.reshape(len(labels), -1, logits.shape[-1]).mean(axis=1)
        if item.parameters.multi_label or len(labels) == 1:
            both = logits[:, [self.contradiction, self.entailment]]
            scores = apply_function("softmax", both)[:, 1]
        else:
            scores = apply_function("softmax", logits[:, self.entailment])
        best = np.argsort(-scores, kind="stable")
        return [
            {"label": labels[index], "score": value}
            for index, value in zip(best.tolist(), scores[best].tolist(), strict=True)
        ]

    def _prepare(
        self, text: list[int], asked: list[list[int]], long: str
    ) -> Prepared | ServingError:
        tokenizer = self.tokenizer
        # Of one length for all labels, so that every label sees the same parts of the text.
        room = tokenizer.room(pair_with=max(map(len, asked)))
        if len(text) <= room:
            return Prepared([tokenizer.pair_row(text, one) for one in asked], windows=1)
        if room < tokenizer.room(pair_with=0) // 2:
            return InvalidRequest(
                f"parameters.candidate_labels: the longest label makes {max(map(len, asked))} "
                f"tokens of the {tokenizer.max_tokens} that the model accepts; ask shorter ones."
            )
        if long == "truncate":
            cut = text[:room]
            rows = [tokenizer.pair_row(cut, one) for one in asked]
            return Prepared(rows, truncated=True, windows=1)
        if long == "window":
            pieces = even_windows(len(text), room)
            windowed: list[Row] = [
                tokenizer.pair_row(text[piece.start : piece.end], one)
                for one in asked
                for piece in pieces
            ]
            return Prepared(windowed, windows=len(pieces))
        limit = tokenizer.max_tokens
        return InputTooLong(len(text) + limit - room, limit)


def hypotheses(item: ZeroShotItem) -> list[str]:
    """The sentence of each label. Put in as it is: a template is never more than text."""
    template = item.parameters.hypothesis_template
    return [template.replace("{}", label) for label in item.candidate_labels]
