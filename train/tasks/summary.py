"""Extractive summarisation: which sentences to keep, from marks or from a person's summary."""

import random
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contracts.errors import CheckpointError, ServingError
from contracts.schemas import Summary, SummaryItem, SummaryParameters
from contracts.tasks import Task
from handlers.base import Prepared
from handlers.selection import join
from handlers.sentences import sentences as split_sentences
from handlers.summarization import Candidates
from handlers.tokenization import TextTokenizer
from model_store.derive import TASK_KEY
from train.baselines import frequent_sentences
from train.data.oracle import nearness, oracle
from train.data.tables import TableRow, blank, read_table
from train.rows import IGNORED
from train.scores import rouge_l, rouge_n, words
from train.tasks.base import Example, Scores, TrainTask

if TYPE_CHECKING:
    from torch import Tensor

KEEP = "keep"
"""The one label: its sigmoid is a sentence's score."""


@dataclass(frozen=True, slots=True)
class MarkedText(Example):
    """Sentences in order, which of them matter, and the summary to be compared with."""

    sentences: tuple[str, ...]
    marked: frozenset[int]
    worth: tuple[float, ...]
    """Per sentence the probability, 0 to 1, that the model is to learn."""
    reference: str
    others: tuple[str, ...] = ()
    """Other people's summaries of the text: what is near to one of them is right."""

    @property
    def text(self) -> str:
        """The sentences as one text."""
        return join(list(self.sentences))


class SummaryTraining(TrainTask):
    """Token classification heads with one label, whose logit is averaged over each sentence."""

    task = Task.SUMMARIZATION
    metric = "rouge1"
    auto_class = "AutoModelForTokenClassification"
    per_token = True

    def read(self, path: Path) -> list[MarkedText]:
        """One example per table row; a text of which nothing is to be kept is left out."""
        found = [self._example(row) for row in read_table(path, self.recipe.data)]
        examples = [example for example in found if example.marked]
        if len(examples) < len(found):
            self.note("texts without a sentence to keep, left out", len(found) - len(examples))
        if not examples:
            raise CheckpointError(f"{path} holds no example with a sentence to keep.")
        return examples

    def learn_labels(self, examples: Sequence[MarkedText]) -> None:
        """Always one."""
        self.labels = [KEEP]

    @property
    def config(self) -> dict[str, Any]:
        """One label, and the task, which the architecture does not tell."""
        return {**super().config, TASK_KEY: str(Task.SUMMARIZATION)}

    def targets(
        self, example: MarkedText, prepared: Prepared, tokenizer: TextTokenizer
    ) -> list[dict[str, Any]]:
        """Per token the number of its sentence in the row, and what that one is worth.

        A sentence in two rows is learnt from where serving reads it.
        """
        candidates: Candidates = prepared.context
        worth = _worth(example, candidates.spans)
        labels = [[float(IGNORED)] * len(row) for row in prepared.rows]
        numbers = [[IGNORED] * len(row) for row in prepared.rows]
        for place, wanted in zip(candidates.places, worth, strict=True):
            tokens = place.end - place.start
            number = 1 + max(numbers[place.row])
            labels[place.row][place.start : place.end] = [wanted] * tokens
            numbers[place.row][place.start : place.end] = [max(0, number)] * tokens
        pairs = zip(labels, numbers, strict=True)
        return [{"labels": one, "sentences": of} for one, of in pairs]

    def loss(self, outputs: Any, targets: dict[str, "Tensor"], smoothing: float) -> "Tensor":
        """Binary cross entropy over the sentences, of the mean logit of each."""
        import torch
        from torch.nn import functional

        logits = outputs["logits"].float().squeeze(-1)
        # (rows, tokens, sentences): 1 where a token is in a sentence.
        member = functional.one_hot(targets["sentences"].clamp(min=-1) + 1)[..., 1:].float()
        tokens = member.sum(1)
        there = tokens > 0
        scores, wanted = (
            torch.einsum("rt,rts->rs", one, member)[there] / tokens[there]
            for one in (logits, targets["labels"])
        )
        wanted = wanted * (1 - smoothing) + smoothing / 2
        return functional.binary_cross_entropy_with_logits(scores, wanted)

    def text_of(self, example: Any) -> str:
        """All sentences."""
        return str(example.text)

    def items(self, examples: Sequence[MarkedText]) -> list[SummaryItem]:
        """Texts; as many sentences are asked for as serving gives, or else as are marked."""
        return [
            SummaryItem(example.text, SummaryParameters(max_sentences=self._size(example)))
            for example in examples
        ]

    def score(
        self, examples: Sequence[MarkedText], answers: Sequence[Summary | ServingError]
    ) -> Scores:
        """ROUGE F1 against the nearest reference, and the share of marked sentences taken."""
        totals = {"rouge1": 0.0, "rouge2": 0.0, "rougeL": 0.0, "precision": 0.0}
        for example, answer in zip(examples, answers, strict=True):
            text = _text(answer)
            found = words(text)
            references = [words(one) for one in (example.reference, *example.others)]
            totals["rouge1"] += max(rouge_n(wanted, found, 1) for wanted in references)
            totals["rouge2"] += max(rouge_n(wanted, found, 2) for wanted in references)
            totals["rougeL"] += max(rouge_l(wanted, found) for wanted in references)
            taken = sum(example.sentences[index] in text for index in example.marked)
            totals["precision"] += taken / len(example.marked)
        return {name: total / max(1, len(examples)) for name, total in totals.items()}

    def same(self, reference: Any, answer: Any) -> bool:
        """The same summary."""
        return _text(reference) == _text(answer)

    def baselines(
        self, train: Sequence[MarkedText], test: Sequence[MarkedText]
    ) -> dict[str, list[Summary]]:
        """The first sentences, any, and those with the commonest words of the text."""
        lead = [join(list(one.sentences[: self._size(one)])) for one in test]
        frequent = [frequent_sentences(one.sentences, self._size(one)) for one in test]
        draw = random.Random(self.recipe.seed)
        drawn = [
            sorted(draw.sample(range(len(one.sentences)), min(self._size(one), len(one.sentences))))
            for one in test
        ]
        guesses = [
            join([one.sentences[index] for index in chosen])
            for one, chosen in zip(test, drawn, strict=True)
        ]
        return {
            "lead": [Summary(summary_text=text) for text in lead],
            "random": [Summary(summary_text=text) for text in guesses],
            "keywords": [Summary(summary_text=join(found)) for found in frequent],
        }

    def label_counts(self, examples: Sequence[MarkedText]) -> dict[str, int]:
        """Sentences to keep and to leave."""
        kept = sum(len(example.marked) for example in examples)
        every = sum(len(example.sentences) for example in examples)
        return {"keep": kept, "leave": every - kept}

    def _size(self, example: MarkedText) -> int:
        """Sentences of a summary."""
        wanted = self.recipe.publish.generation_defaults.get("max_sentences")
        return int(wanted or len(example.marked))

    def _example(self, row: TableRow) -> MarkedText:
        data = self.recipe.data
        where = row.where
        if data.sentences in row.values:
            value = row.get(data.sentences)
            if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
                raise row.error(f'column "{data.sentences}" must be a list of sentences.')
            if all(map(blank, value)):
                raise row.error(f'column "{data.sentences}" is empty.')
            found = [" ".join(one.split()) for one in value]
        else:
            text = row.text(data.document)
            found = [text[start:end] for start, end in split_sentences(text)]
        others: list[str] = []
        marks = data.label or "labels"
        if marks in row.values:
            flags = row.get(marks)
            if not isinstance(flags, list) or len(flags) != len(found):
                raise row.error(f'column "{marks}" must have one 0 or 1 per sentence.')
            if any(flag not in (0, 1) for flag in flags):
                raise row.error(f'column "{marks}" must hold 0 and 1 only.')
            marked = frozenset(i for i, flag in enumerate(flags) if flag)
            if not all(found[index] for index in marked):
                raise row.error(f'column "{marks}" marks a sentence that is empty.')
            worth = [float(flag) for flag in flags]
            reference = " ".join(found[index] for index in sorted(marked))
        else:
            value = row.get(data.summary)
            # Several people's summaries: the first is the one to learn from.
            texts = value if isinstance(value, list) and value else [value]
            if any(not isinstance(one, str) or blank(one) for one in texts):
                raise row.error(f'column "{data.summary}" must be text that is not empty.')
            reference, *others = texts
            marked = frozenset(oracle(found, reference))
            # What belongs together, and what says much alone: half and half is better than either.
            near = nearness(found, reference)
            worth = [((index in marked) + one) / 2 for index, one in enumerate(near)]
        # Empty sentences are dropped; the marks move with their sentences.
        order = [index for index, sentence in enumerate(found) if sentence]
        place = {index: number for number, index in enumerate(order)}
        return MarkedText(
            where,
            tuple(found[index] for index in order),
            frozenset(place[index] for index in marked),
            tuple(worth[index] for index in order),
            reference,
            tuple(others),
        )


def _worth(example: MarkedText, spans: Sequence[tuple[int, int]]) -> list[float]:
    """Of each sentence that serving finds: the mean over the given ones that it consists of."""
    text, worth = example.text, example.worth
    starts: list[int] = []
    ends: list[int] = []
    for sentence in example.sentences:
        starts.append(text.index(sentence, ends[-1] if ends else 0))
        ends.append(starts[-1] + len(sentence))
    found = []
    for start, end in spans:
        parts = range(bisect_right(ends, start), bisect_left(starts, end))
        whole = sum((min(end, ends[i]) - max(start, starts[i])) * worth[i] for i in parts)
        found.append(whole / (end - start))
    return found


def _text(answer: Summary | ServingError) -> str:
    return "" if isinstance(answer, ServingError) else answer["summary_text"]
