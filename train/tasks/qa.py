"""Extractive question answering: the answer's first and last token in each window."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contracts.errors import CheckpointError, ServingError
from contracts.schemas import Answer, QaItem, QaParameters
from contracts.tasks import Task
from handlers.base import Prepared
from handlers.question_answering import Reading
from handlers.tokenization import TextTokenizer
from train.baselines import closest_sentence
from train.data.squad import SquadQuestion, read_question_row, read_squad
from train.data.tables import format_of, read_table
from train.recipe import Recipe
from train.scores import answer_scores
from train.tasks.base import Example, Scores, TrainTask

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class LabelledQuestion(Example):
    """A question, its context and the right answers, ``(start, text)``."""

    question: str
    context: str
    answers: tuple[tuple[int, str], ...]


class QaTraining(TrainTask):
    """Span heads."""

    task = Task.QUESTION_ANSWERING
    metric = "f1"
    auto_class = "AutoModelForQuestionAnswering"

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self.impossible = False
        self.seq_tokens: int | None = None

    def read(self, path: Path) -> list[LabelledQuestion]:
        """One example per question."""
        examples = [
            LabelledQuestion(one.where, one.question, one.context, tuple(one.answers))
            for one in self._questions(path)
        ]
        if not examples:
            raise CheckpointError(f"{path} holds no questions.")
        return examples

    def learn_labels(self, examples: Sequence[LabelledQuestion]) -> None:
        """Whether "there is no answer" is an answer."""
        self.impossible = any(not example.answers for example in examples)

    @property
    def config(self) -> dict[str, Any]:
        """Two outputs, start and end; they have no names."""
        return {"num_labels": 2}

    def stratum(self, example: LabelledQuestion) -> Hashable:
        """Answerable or not."""
        return bool(example.answers)

    def targets(
        self, example: LabelledQuestion, prepared: Prepared, tokenizer: TextTokenizer
    ) -> list[dict[str, Any]]:
        """First and last token of the answer; the classification token where a window has none."""
        reading: Reading = prepared.context
        offsets = reading.encoding.offsets
        first = last = -1
        if example.answers:
            start, text = example.answers[0]
            inside = [
                index
                for index, (a, b) in enumerate(offsets)
                if a < start + len(text) and b > start and b > a
            ]
            if inside:
                first, last = inside[0], inside[-1]
        targets = []
        for window in reading.windows:
            begin, end = 0, 0
            if window.start <= first and last < window.end and first >= 0:
                begin = reading.begin + first - window.start
                end = reading.begin + last - window.start
            targets.append({"start_positions": begin, "end_positions": end})
        return targets

    def loss(self, outputs: Any, targets: dict[str, "Tensor"], smoothing: float) -> "Tensor":
        """Mean cross entropy of start and end over the row's tokens."""
        from torch.nn import functional

        start = functional.cross_entropy(
            outputs["start_logits"].float(), targets["start_positions"], label_smoothing=smoothing
        )
        end = functional.cross_entropy(
            outputs["end_logits"].float(), targets["end_positions"], label_smoothing=smoothing
        )
        return (start + end) / 2

    def text_of(self, example: Any) -> str:
        """The context."""
        return str(example.context)

    def items(self, examples: Sequence[LabelledQuestion]) -> list[QaItem]:
        """Questions; "no answer" is allowed where the training data have it."""
        model = self.recipe.model
        parameters = QaParameters(
            handle_impossible_answer=self.impossible,
            max_seq_len=model.max_seq_len,
            doc_stride=model.doc_stride,
        )
        return [QaItem(one.question, one.context, parameters) for one in examples]

    def score(
        self, examples: Sequence[LabelledQuestion], answers: Sequence[Answer | ServingError]
    ) -> Scores:
        """SQuAD's exact match and F1."""
        pairs = [
            answer_scores([text for _, text in example.answers], _text(answer))
            for example, answer in zip(examples, answers, strict=True)
        ]
        return {
            "exact_match": sum(exact for exact, _ in pairs) / max(1, len(pairs)),
            "f1": sum(f1 for _, f1 in pairs) / max(1, len(pairs)),
        }

    def same(self, reference: Any, answer: Any) -> bool:
        """The same text."""
        return _text(reference) == _text(answer)

    def baselines(
        self, train: Sequence[LabelledQuestion], test: Sequence[LabelledQuestion]
    ) -> dict[str, list[Answer]]:
        """No answer to everything, and the sentence that shares most words with the question."""
        return {
            "majority": [Answer(answer="", score=1.0, start=0, end=0) for _ in test],
            "keywords": [closest_sentence(one.question, one.context) for one in test],
        }

    def identity(self, example: Any) -> Hashable:
        """The question in its context."""
        return example.question, example.context

    def label_counts(self, examples: Sequence[LabelledQuestion]) -> dict[str, int]:
        """Questions with and without an answer."""
        answered = sum(bool(example.answers) for example in examples)
        counts = {"answer": answered, "no answer": len(examples) - answered}
        return {name: count for name, count in counts.items() if count}

    def _questions(self, path: Path) -> Iterator[SquadQuestion]:
        data = self.recipe.data
        if format_of(path, data) == "squad":
            return read_squad(path)
        return (read_question_row(row) for row in read_table(path, data))


def _text(answer: Answer | ServingError) -> str:
    return "" if isinstance(answer, ServingError) else answer["answer"]
