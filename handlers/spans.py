"""From token logits to entities: aggregation into words and groups, character spans.

The strategies none, simple, first, average and max group tokens as the token classification
pipeline of transformers 4.57 does. Everything runs on whole arrays; Python touches only the
entities found.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from contracts.schemas import Entity, NerParameters
from contracts.tensors import Array
from handlers.tags import group_starts, read_tags
from handlers.tokenization import TextTokenizer
from handlers.words import WordReader


class EntityReader:
    """Reads entities off the logits of one checkpoint's labels."""

    def __init__(self, labels: Sequence[str], tokenizer: TextTokenizer) -> None:
        """Derive the label tables."""
        self.labels = list(labels)
        self.tags = read_tags(labels)
        self.first_index = len(tokenizer.single_prefix)
        self.words = WordReader(tokenizer)

    def read(
        self, text: str, encoding: Encoding, logits: Array, parameters: NerParameters
    ) -> list[Entity]:
        """Group tagged tokens into entities.

        Args:
            text: as it came.
            encoding: of the text, without special tokens.
            logits: ``(tokens, labels)``; fewer tokens than the encoding where the text was cut.
            parameters: strategy and labels to leave out.

        Returns:
            Entities in text order. ``word == text[start:end]``, without surrounding whitespace; an
            entity of whitespace alone is left out. Groups never overlap: a character that several
            tokens share belongs to the first group that has it. The strategy none gives one entry
            per token, with ``index`` counted in the whole text and the leading special tokens
            included.
        """
        if not len(logits):
            return []
        scores = _softmax(logits)
        if parameters.aggregation_strategy == "none":
            return self._tokens(text, encoding, scores, parameters.ignore_labels)
        if parameters.aggregation_strategy == "simple":
            starts = np.arange(len(scores))
            label_ids = scores.argmax(axis=-1)
            best = scores[starts, label_ids]
        else:
            starts = self.words.starts(text, encoding, len(scores))
            label_ids, best = _word_labels(parameters.aggregation_strategy, scores, starts)
        groups = group_starts(label_ids, self.tags)
        ignored = np.array([name in parameters.ignore_labels for name in self.tags.types])
        types = self.tags.type_of[label_ids[groups]]
        kept = np.flatnonzero(~ignored[types])
        if not len(kept):
            return []
        sizes = np.diff(groups, append=len(label_ids))
        means = np.add.reduceat(best.astype(np.float64), groups) / sizes
        firsts = starts[groups]
        lasts = np.append(firsts[1:], len(scores)) - 1
        offsets = encoding.offsets
        found: list[Entity] = []
        taken = 0
        for group in kept.tolist():
            start, end = _trim(
                text, max(offsets[firsts[group]][0], taken), offsets[lasts[group]][1]
            )
            if start >= end:
                continue
            taken = end
            found.append(
                {
                    "entity_group": self.tags.types[types[group]],
                    "score": float(means[group]),
                    "word": text[start:end],
                    "start": start,
                    "end": end,
                }
            )
        return found

    def _tokens(
        self, text: str, encoding: Encoding, scores: Array, ignore_labels: Sequence[str]
    ) -> list[Entity]:
        label_ids = scores.argmax(axis=-1)
        ignored = np.array([label in ignore_labels for label in self.labels])
        offsets = encoding.offsets
        found: list[Entity] = []
        for token in np.flatnonzero(~ignored[label_ids]).tolist():
            start, end = _trim(text, *offsets[token])
            if start >= end:
                continue
            label = label_ids[token]
            found.append(
                {
                    "entity": self.labels[label],
                    "score": float(scores[token, label]),
                    "index": token + self.first_index,
                    "word": text[start:end],
                    "start": start,
                    "end": end,
                }
            )
        return found


def _word_labels(
    strategy: str, scores: Array, starts: NDArray[np.intp]
) -> tuple[NDArray[np.intp], Array]:
    """One label and score per word.

    Args:
        strategy: first, average or max.
        scores: ``(tokens, labels)``.
        starts: the first token of each word, ascending from 0.
    """
    if strategy == "average":
        sizes = np.diff(starts, append=len(scores))
        words = np.add.reduceat(scores, starts, axis=0) / sizes[:, None]
    elif strategy == "first":
        words = scores[starts]
    else:
        best = scores.max(axis=-1)
        word_of = np.zeros(len(scores), dtype=np.intp)
        word_of[starts[1:]] = 1
        word_of = word_of.cumsum()
        peaks = np.flatnonzero(best == np.maximum.reduceat(best, starts)[word_of])
        words = scores[peaks[np.unique(word_of[peaks], return_index=True)[1]]]
    label_ids = words.argmax(axis=-1)
    return label_ids, words[np.arange(len(words)), label_ids]


def _softmax(logits: Array) -> Array:
    """Over labels, in float32 as transformers computes it."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without whitespace at its edges; byte-level tokens hold the space before a word."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end
