"""Extractive summarisation: an encoder scores each sentence in its context, the best are kept.

The checkpoint is a token classifier that was trained on the rows of ``handlers/sentence_rows.py``:
one label, whose sigmoid is the score of a sentence, or two, of which the second means *keep* and
whose softmax is the score.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from contracts.errors import CheckpointError, InputTooLong, InvalidRequest, ServingError
from contracts.schemas import Summary, SummaryItem
from contracts.tasks import Task
from contracts.tensors import Array, Tensors
from handlers.base import Handler, Prepared
from handlers.selection import join, select
from handlers.sentence_rows import WINDOW_TOKENS, Place, best_places, sentence_rows
from handlers.sentences import sentences
from handlers.summary_budget import Budget, budget_of
from handlers.tokenization import TextTokenizer
from model_store.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Candidates:
    """The sentences that a summary may take, in text order.

    Attributes:
        spans: their ``[start, end)`` in the text.
        tokens: the model's tokens of each.
        places: where each is read.
        budget: what the summary may hold.
    """

    spans: list[tuple[int, int]]
    tokens: list[int]
    places: list[Place]
    budget: Budget


class SummarizationHandler(Handler[SummaryItem, Summary]):
    """The sentences that matter, word for word and in their order."""

    task = Task.SUMMARIZATION
    item = SummaryItem
    per_token = True

    def __init__(self, manifest: Manifest, tokenizer: TextTokenizer) -> None:
        """Refuse a checkpoint whose labels do not say what a score is, or whose defaults are none.

        Raises:
            CheckpointError: there are more than two labels, or a default is no whole number.
        """
        super().__init__(manifest, tokenizer)
        if len(manifest.labels) not in (1, 2):
            raise CheckpointError(
                f"An extractive summariser has one label or two (drop, keep); id2label in "
                f"config.json has {len(manifest.labels)}: train one with tuneserve train."
            )
        for key in ("max_sentences", "max_length"):
            value = manifest.generation_defaults.get(key)
            if value is not None and (type(value) is not int or value < 1):
                raise CheckpointError(
                    f"generation_defaults.{key} in manifest.json must be a whole number, 1 or more."
                )

    def preprocess(self, items: Sequence[SummaryItem]) -> list[Prepared | ServingError]:
        """Rows of whole sentences, or an error; all sentences are encoded in one call."""
        language = self.manifest.generation_defaults.get("language")
        spans = [sentences(item.text, language) for item in items]
        texts = [
            item.text[start:end]
            for item, found in zip(items, spans, strict=True)
            for start, end in found
        ]
        ids: list[list[int]] = [encoding.ids for encoding in self.tokenizer.encode(texts)]
        prepared = []
        taken = 0
        for item, found in zip(items, spans, strict=True):
            prepared.append(self._prepare(item, found, ids[taken : taken + len(found)]))
            taken += len(found)
        return prepared

    def postprocess(
        self, item: SummaryItem, prepared: Prepared, outputs: Sequence[Tensors]
    ) -> Summary:
        """Score the sentences, choose, and join them."""
        candidates: Candidates = prepared.context
        logits = np.stack(
            [
                outputs[place.row]["logits"][place.start : place.end].mean(axis=0, dtype=np.float64)
                for place in candidates.places
            ]
        )
        texts = [item.text[start:end] for start, end in candidates.spans]
        chosen = select(texts, keep_scores(logits).tolist(), candidates.tokens, candidates.budget)
        return Summary(summary_text=join([texts[index] for index in chosen]))

    def _prepare(
        self, item: SummaryItem, spans: list[tuple[int, int]], ids: list[list[int]]
    ) -> Prepared | ServingError:
        budget = budget_of(item.parameters, self.manifest.generation_defaults)
        if isinstance(budget, ServingError):
            return budget
        if not any(ids):
            return InvalidRequest("inputs has no character that the model can read.")
        limit = min(WINDOW_TOKENS, self.tokenizer.max_tokens)
        rows = sentence_rows(self.tokenizer, ids, limit)
        cut = max(map(len, ids)) > self.tokenizer.room(max_tokens=limit)
        long = item.parameters.long
        if item.parameters.truncation not in (None, "do_not_truncate"):
            long = "truncate"
        if long == "error" and (cut or len(rows) > 1):
            around = limit - self.tokenizer.room(max_tokens=limit)
            return InputTooLong(sum(len(one) + around for one in ids), limit)
        if long == "truncate":
            cut = cut or len(rows) > 1
            rows = rows[:1]
        places = best_places(rows)
        count = len(places)
        candidates = Candidates(spans[:count], [len(one) for one in ids[:count]], places, budget)
        return Prepared([one.row for one in rows], cut, candidates)


def keep_scores(logits: Array) -> Array:
    """Probability that a sentence belongs to the summary.

    Args:
        logits: of the sentences, ``(sentences, labels)``, labels 1 or 2.

    Returns:
        ``(sentences,)`` in [0, 1]: the sigmoid of the one label, the softmax of the second of two.
    """
    # In float32 all scores above a logit of 17 would be equal.
    logits = logits.astype(np.float64)
    keep = logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]
    # Softmax of two is the sigmoid of their difference; this form of it does not overflow.
    return np.asarray(0.5 * (1 + np.tanh(0.5 * keep)))
