"""Token classification: entities become one tag per sub-token."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contracts.errors import CheckpointError, ServingError
from contracts.schemas import Entity, NerItem, NerParameters
from contracts.tasks import Task
from handlers.base import Prepared
from handlers.ner import Tagged
from handlers.tags import read_tags
from handlers.tokenization import TextTokenizer
from handlers.words import WordReader
from train.baselines import Gazetteer
from train.data.conll import TaggedSentence, read_conll
from train.data.tables import blank, format_of, read_table
from train.data.tags import find_scheme, read_entities
from train.recipe import Recipe
from train.rows import IGNORED, LabelledRow
from train.scores import span_scores
from train.tasks.base import Example, Scores, TrainTask

if TYPE_CHECKING:
    from torch import Tensor

Span = tuple[int, int, str]
"""Start and end in characters, and the type."""


@dataclass(frozen=True, slots=True)
class LabelledSpans(Example):
    """A text with its entities, in text order."""

    text: str
    spans: tuple[Span, ...]
    places: tuple[str, ...] = ()
    """Of each span its ``file, line n``, where a file has a line per token."""


class NerTraining(TrainTask):
    """Token classification heads.

    Every sub-token is labelled, the first of an entity with ``B-`` and all others with ``I-``: so
    the strategy *simple*, which is the default of serving, finds whole words. Or only the first of
    each word is; the version then says that *first* is its strategy.
    """

    task = Task.TOKEN_CLASSIFICATION
    metric = "entity_f1"
    auto_class = "AutoModelForTokenClassification"
    per_token = True

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self._words: WordReader | None = None

    @property
    def generation_defaults(self) -> dict[str, Any]:
        """The strategy that fits what was labelled."""
        if self.recipe.model.subtokens == "first":
            return {"aggregation_strategy": "first"}
        return {}

    def read(self, path: Path) -> list[LabelledSpans]:
        """One example per sentence; its text is the tokens with a space between them."""
        sentences = list(self._sentences(path))
        if not sentences:
            raise CheckpointError(f"{path} holds no examples.")
        data = self.recipe.data
        scheme = data.tag_scheme or find_scheme(sentence.tags for sentence in sentences)
        examples: list[LabelledSpans] = []
        broken: list[str] = []
        for sentence in sentences:
            try:
                entities, violations = read_entities(
                    sentence.tags, scheme, drop_digits=data.tag_digits == "drop"
                )
            except ValueError as error:
                index, reason = error.args
                raise CheckpointError(f"{path}, {sentence.places[index]}: {reason}.") from None
            broken += [f"{path}, {sentence.places[one.index]}: {one.reason}" for one in violations]
            ends = np.cumsum([len(token) + 1 for token in sentence.tokens]) - 1
            spans = tuple(
                (int(ends[first]) - len(sentence.tokens[first]), int(ends[after - 1]), kind)
                for first, after, kind in entities
            )
            where = f"{path}, {sentence.places[0]}"
            places = tuple(f"{path}, {sentence.places[first]}" for first, _, _ in entities)
            text = " ".join(sentence.tokens)
            if blank(text):
                raise CheckpointError(f"{where}: a sentence without a visible character.")
            examples.append(LabelledSpans(where, text, spans, places))
        if broken and data.tags == "strict":
            raise CheckpointError(
                f"{broken[0]} ({len(broken)} such places; the scheme is {scheme}). Correct them, "
                'or read past them with data.tags = "repair".'
            )
        if broken:
            self.note("tags repaired", len(broken))
        return examples

    def learn_labels(self, examples: Sequence[LabelledSpans]) -> None:
        """``O``, then ``B-`` and ``I-`` of each type, sorted."""
        if not self.labels:
            types = sorted({kind for example in examples for _, _, kind in example.spans})
            self.labels = ["O", *(f"{prefix}-{kind}" for kind in types for prefix in "BI")]
        if len(self.labels) < 2:
            raise CheckpointError(f"{self.recipe.data.train} has no entity; every tag is O.")

    def check(self, examples: Sequence[LabelledSpans]) -> None:
        """Refuse types that the model will not have."""
        types = set(read_tags(self.labels).types)
        for example in examples:
            for index, (_, _, kind) in enumerate(example.spans):
                if kind not in types:
                    known = ", ".join(sorted(types - {"O"}))
                    place = example.places[index] if example.places else example.where
                    raise CheckpointError(
                        f'{place}: unknown entity type "{kind}"; the model has {known}.'
                    )

    def stratum(self, example: LabelledSpans) -> Hashable:
        """The types that occur."""
        return frozenset(kind for _, _, kind in example.spans)

    def targets(
        self, example: LabelledSpans, prepared: Prepared, tokenizer: TextTokenizer
    ) -> list[dict[str, Any]]:
        """Label indices per token of each window, nothing to learn at special tokens.

        With ``model.subtokens = "first"`` there is nothing to learn inside of words either.
        """
        tagged: Tagged = prepared.context
        index = {label: number for number, label in enumerate(self.labels)}
        offsets = tagged.encoding.offsets
        firsts = self._firsts(example.text, tagged, tokenizer)
        ends = [*firsts[1:], len(offsets)]
        units = [
            (offsets[first][0], offsets[end - 1][1])
            for first, end in zip(firsts, ends, strict=True)
        ]
        found = [IGNORED] * len(offsets)
        for first, tag in zip(firsts, self._tag(units, example.spans), strict=True):
            found[first] = index[tag]
        before = len(tokenizer.single_prefix)
        targets = []
        for window, row in zip(tagged.windows, prepared.rows, strict=True):
            inside = found[window.start : window.end]
            after = len(row) - before - len(inside)
            targets.append({"labels": [IGNORED] * before + inside + [IGNORED] * after})
        return targets

    def weigh(self, rows: Sequence[LabelledRow]) -> None:
        """By the recipe's table, or so that every tag has the same share of the loss."""
        tags = Counter(tag for row in rows for tag in row.targets["labels"] if tag != IGNORED)
        self.class_weights = self.label_weights(tags)

    def loss(self, outputs: Any, targets: dict[str, "Tensor"], smoothing: float) -> "Tensor":
        """Cross entropy over labelled tokens."""
        from torch.nn import functional

        logits = outputs["logits"].float()
        weights = None if self.class_weights is None else logits.new_tensor(self.class_weights)
        return functional.cross_entropy(
            logits.flatten(0, 1), targets["labels"].flatten(), weights, label_smoothing=smoothing
        )

    def text_of(self, example: Any) -> str:
        """The text."""
        return str(example.text)

    def items(self, examples: Sequence[LabelledSpans]) -> list[NerItem]:
        """Texts with the version's strategy."""
        return [NerItem(example.text, NerParameters()) for example in examples]

    def score(
        self, examples: Sequence[LabelledSpans], answers: Sequence[list[Entity] | ServingError]
    ) -> Scores:
        """Micro F1 of exact spans with their type."""
        return span_scores([example.spans for example in examples], [_spans(a) for a in answers])

    def same(self, reference: Any, answer: Any) -> bool:
        """The same entities."""
        return set(_spans(reference)) == set(_spans(answer))

    def baselines(
        self, train: Sequence[LabelledSpans], test: Sequence[LabelledSpans]
    ) -> dict[str, list[list[Entity]]]:
        """No entity at all, and the entities of the training data looked up."""
        gazetteer = Gazetteer(
            [(example.text[a:b], kind) for example in train for a, b, kind in example.spans]
        )
        return {
            "majority": [[] for _ in test],
            "keywords": [gazetteer(example.text) for example in test],
        }

    def label_counts(self, examples: Sequence[LabelledSpans]) -> dict[str, int]:
        """How many entities of each type there are."""
        return dict(
            sorted(Counter(kind for example in examples for _, _, kind in example.spans).items())
        )

    def _sentences(self, path: Path) -> Any:
        data = self.recipe.data
        if format_of(path, data) == "conll":
            yield from read_conll(path)
            return
        for row in read_table(path, data):
            tokens, tags = row.get("tokens"), row.get(data.label or "tags")
            if not (
                isinstance(tokens, list) and isinstance(tags, list) and len(tokens) == len(tags)
            ):
                raise row.error("tokens and tags must be lists of one length.")
            odd = next((token for token in tokens if not isinstance(token, str)), "")
            if not isinstance(odd, str):
                raise row.error(f"tokens must be text, not {odd!r}.")
            if tokens:
                places = [row.place] * len(tokens)
                yield TaggedSentence(path, places, tokens, [str(tag) for tag in tags])
            else:
                self.note("rows without a token, left out")

    def _firsts(self, text: str, tagged: Tagged, tokenizer: TextTokenizer) -> list[int]:
        """The tokens that are labelled: all, or the first of each word."""
        tokens = len(tagged.encoding.ids)
        if self.recipe.model.subtokens == "all" or not tokens:
            return list(range(tokens))
        self._words = self._words or WordReader(tokenizer)
        starts: list[int] = self._words.starts(text, tagged.encoding, tokens).tolist()
        return starts

    def _tag(self, offsets: Sequence[tuple[int, int]], spans: Sequence[Span]) -> list[str]:
        """One label per token or word: the entity that it overlaps, in the scheme of ``labels``."""
        known = set(self.labels)
        tags = ["O"] * len(offsets)
        token = 0
        for start, end, kind in spans:
            while token < len(offsets) and offsets[token][1] <= start:
                token += 1
            first = token
            while token < len(offsets) and offsets[token][0] < end:
                token += 1
            for index in range(first, token):
                if token - first == 1:
                    wishes = f"S-{kind}", f"B-{kind}", f"I-{kind}", kind
                elif index == first:
                    wishes = f"B-{kind}", f"I-{kind}", f"I-{kind}", kind
                elif index == token - 1:
                    wishes = f"E-{kind}", f"I-{kind}", f"B-{kind}", kind
                else:
                    wishes = f"I-{kind}", f"I-{kind}", f"B-{kind}", kind
                tags[index] = next(wish for wish in wishes if wish in known)
        return tags


def _spans(answer: list[Entity] | ServingError) -> list[Span]:
    if isinstance(answer, ServingError):
        return []
    return [(one["start"], one["end"], one["entity_group"]) for one in answer]
