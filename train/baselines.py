"""What a model must beat: methods without a neural network, learnt from the same training data."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from contracts.schemas import Answer, Entity
from handlers.sentences import sentences
from train.scores import words


class NaiveBayes:
    """Multinomial naive Bayes over words with add-one smoothing: the keyword baseline."""

    def __init__(self, examples: Sequence[tuple[str, tuple[str, ...]]]) -> None:
        """Count words per label set.

        Args:
            examples: a text and its labels; a set of labels is one class.
        """
        counts: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        self._prior: Counter[tuple[str, ...]] = Counter()
        for text, labels in examples:
            counts[labels].update(words(text))
            self._prior[labels] += 1
        self._counts = dict(counts)
        self._vocabulary = set().union(*(count.keys() for count in counts.values()))
        self._totals = {
            labels: count.total() + len(self._vocabulary) for labels, count in counts.items()
        }

    def __call__(self, text: str) -> tuple[str, ...]:
        """The most probable labels; unknown words say nothing."""
        known = [word for word in words(text) if word in self._vocabulary]

        def log_probability(labels: tuple[str, ...]) -> float:
            count, total = self._counts[labels], self._totals[labels]
            return math.log(self._prior[labels]) + sum(
                math.log((count[word] + 1) / total) for word in known
            )

        return max(sorted(self._counts), key=log_probability)


class Gazetteer:
    """Entities seen in training, found again wherever their words occur; longest first."""

    def __init__(self, entities: Sequence[tuple[str, str]]) -> None:
        """Keep each name with its commonest type."""
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for name, kind in entities:
            counts[name][kind] += 1
        self._types = {name: count.most_common(1)[0][0] for name, count in counts.items()}
        self._longest = max((name.count(" ") + 1 for name in self._types), default=0)

    def __call__(self, text: str) -> list[Entity]:
        """Entities in text order; the text's words stand apart by single spaces."""
        starts = [0, *(index + 1 for index, letter in enumerate(text) if letter == " ")]
        ends = [*(start - 1 for start in starts[1:]), len(text)]
        found: list[Entity] = []
        word = 0
        while word < len(starts):
            taken = 1
            for count in range(min(self._longest, len(starts) - word), 0, -1):
                start, end = starts[word], ends[word + count - 1]
                kind = self._types.get(text[start:end])
                if kind is not None:
                    found.append(
                        Entity(
                            entity_group=kind, score=1.0, word=text[start:end], start=start, end=end
                        )
                    )
                    taken = count
                    break
            word += taken
        return found


def closest_sentence(question: str, context: str) -> Answer:
    """The sentence of the context that shares most words with the question."""
    asked = set(words(question))
    spans = sentences(context) or [(0, len(context))]
    start, end = max(spans, key=lambda span: len(asked & set(words(context[span[0] : span[1]]))))
    return Answer(answer=context[start:end], score=1.0, start=start, end=end)


def frequent_sentences(found: Sequence[str], count: int) -> list[str]:
    """The sentences whose words are commonest in the text, in its order (SumBasic's idea)."""
    pieces = [words(sentence) for sentence in found]
    frequency = Counter(word for piece in pieces for word in piece)
    weights = [sum(frequency[word] for word in piece) / max(1, len(piece)) for piece in pieces]
    best = sorted(range(len(found)), key=lambda index: (-weights[index], index))[:count]
    return [found[index] for index in sorted(best)]
