"""Text classification: one label, several, or a number; single texts or pairs."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contracts.errors import CheckpointError, ServingError
from contracts.schemas import ClassificationItem, ClassificationParameters, LabelScore
from contracts.tasks import Task
from handlers.base import Prepared
from handlers.tokenization import TextTokenizer
from train.baselines import NaiveBayes
from train.data.tables import TableRow, read_table
from train.recipe import Recipe
from train.rows import LabelledRow
from train.scores import accuracy, pearson, set_scores
from train.tasks.base import Example, Scores, TrainTask

if TYPE_CHECKING:
    from torch import Tensor

SINGLE = "single_label_classification"
MULTI = "multi_label_classification"
REGRESSION = "regression"

THRESHOLD = 0.5
"""A multi-label answer holds the labels whose score is at least this."""

PARAMETERS = ClassificationParameters(top_k=None, long="truncate")
"""All labels; long texts are cut, as the training rows are."""


@dataclass(frozen=True, slots=True)
class LabelledText(Example):
    """A text (or a pair) with its labels, or with its number."""

    text: str
    text_pair: str | None
    labels: tuple[str, ...]
    value: float = 0.0


class ClassificationTraining(TrainTask):
    """Sequence classification heads."""

    task = Task.TEXT_CLASSIFICATION
    metric = "accuracy"
    auto_class = "AutoModelForSequenceClassification"
    windows = False

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self.problem_type: str | None = recipe.model.problem_type
        if self.problem_type is None and recipe.data.label_separator is not None:
            self.problem_type = MULTI
        self._name_metric()

    def read(self, path: Path) -> list[LabelledText]:
        """One example per table row."""
        examples = [self._example(row) for row in read_table(path, self.recipe.data)]
        if not examples:
            raise CheckpointError(f"{path} holds no examples.")
        return examples

    def learn_labels(self, examples: Sequence[LabelledText]) -> None:
        """Sorted label names; a regression has one output called ``score``."""
        if self.problem_type is None:
            self.problem_type = SINGLE
        self._name_metric()
        if self.problem_type == REGRESSION:
            self.labels = self.labels[:1] or ["score"]
        elif not self.labels:
            self.labels = sorted({label for example in examples for label in example.labels})
        if self.problem_type == SINGLE and len(self.labels) < 2:
            raise CheckpointError(
                f"{self.recipe.data.train} has the one label {self.labels}; two are needed."
            )

    def check(self, examples: Sequence[LabelledText]) -> None:
        """Refuse labels that the training data or the recipe do not have."""
        known = set(self.labels)
        for example in examples:
            for label in example.labels:
                if label not in known:
                    near = get_close_matches(label, self.labels, n=1)
                    hint = f'; did you mean "{near[0]}"?' if near else "."
                    raise CheckpointError(f'{example.where}: unknown label "{label}"{hint}')

    def stratum(self, example: LabelledText) -> Hashable:
        """The label set."""
        return example.labels

    @property
    def config(self) -> dict[str, Any]:
        """Labels and ``problem_type``."""
        return {**super().config, "problem_type": self.problem_type}

    def targets(
        self, example: LabelledText, prepared: Prepared, tokenizer: TextTokenizer
    ) -> list[dict[str, Any]]:
        """The class index, one number per label, or the value."""
        return [{"labels": self._target(example)} for _ in prepared.rows]

    def weigh(self, rows: Sequence[LabelledRow]) -> None:
        """By the recipe's table, or so that every label has the same share of the loss."""
        if self.problem_type != SINGLE:
            return super().weigh(rows)
        self.class_weights = self.label_weights(Counter(row.targets["labels"] for row in rows))

    def loss(self, outputs: Any, targets: dict[str, "Tensor"], smoothing: float) -> "Tensor":
        """Cross entropy; binary cross entropy per label; squared error."""
        from torch.nn import functional

        logits, labels = outputs["logits"].float(), targets["labels"]
        if self.problem_type == SINGLE:
            weights = None if self.class_weights is None else logits.new_tensor(self.class_weights)
            return functional.cross_entropy(logits, labels, weights, label_smoothing=smoothing)
        if self.problem_type == MULTI:
            smooth = labels * (1 - smoothing) + smoothing / 2
            return functional.binary_cross_entropy_with_logits(logits, smooth)
        return functional.mse_loss(logits.squeeze(-1), labels)

    def text_of(self, example: Any) -> str:
        """The text, with its pair."""
        return _all_text(example)

    def items(self, examples: Sequence[LabelledText]) -> list[ClassificationItem]:
        """Texts with all labels asked for."""
        return [ClassificationItem(one.text, one.text_pair, PARAMETERS) for one in examples]

    def score(
        self, examples: Sequence[LabelledText], answers: Sequence[list[LabelScore] | ServingError]
    ) -> Scores:
        """Accuracy and macro F1; micro F1 for label sets; Pearson for numbers."""
        if self.problem_type == REGRESSION:
            truth = [example.value for example in examples]
            found = [0.0 if isinstance(one, ServingError) else one[0]["score"] for one in answers]
            errors = [(a - b) ** 2 for a, b in zip(truth, found, strict=True)]
            mean = sum(errors) / max(1, len(errors))
            return {"pearson": pearson(truth, found), "root_mean_square_error": mean**0.5}
        scores = set_scores(
            [set(example.labels) for example in examples], [set(self._chosen(a)) for a in answers]
        )
        if self.problem_type == SINGLE:
            del scores["micro_f1"]  # It equals accuracy.
        return scores

    def agreement(self, reference: Sequence[Any], answers: Sequence[Any]) -> float:
        """Equal labels; for numbers, within a twentieth of the reference's standard deviation."""
        if self.problem_type != REGRESSION:
            return super().agreement(reference, answers)
        a = [one[0]["score"] for one in reference]
        b = [one[0]["score"] for one in answers]
        mean = sum(a) / len(a)
        spread = (sum((value - mean) ** 2 for value in a) / len(a)) ** 0.5
        near = [abs(x - y) <= spread / 20 for x, y in zip(a, b, strict=True)]
        return accuracy([True] * len(near), near)

    def same(self, reference: Any, answer: Any) -> bool:
        """The same label, or the same set of labels."""
        return self._chosen(reference) == self._chosen(answer)

    def baselines(
        self, train: Sequence[LabelledText], test: Sequence[LabelledText]
    ) -> dict[str, list[list[LabelScore]]]:
        """The commonest answer, and naive Bayes over words."""
        if self.problem_type == REGRESSION:
            mean = sum(example.value for example in train) / len(train)
            return {"mean": [[LabelScore(label=self.labels[0], score=mean)] for _ in test]}
        common = Counter(example.labels for example in train).most_common(1)[0][0]
        bayes = NaiveBayes(
            [(_all_text(example), example.labels) for example in train if example.labels]
        )
        return {
            "majority": [[LabelScore(label=name, score=1.0) for name in common] for _ in test],
            "keywords": [
                [LabelScore(label=name, score=1.0) for name in bayes(_all_text(example))]
                for example in test
            ],
        }

    def label_counts(self, examples: Sequence[LabelledText]) -> dict[str, int]:
        """How often each label occurs; a number has none."""
        if self.problem_type == REGRESSION:
            return {}
        counts = Counter(label for example in examples for label in example.labels)
        return {label: counts[label] for label in self.labels}

    def _name_metric(self) -> None:
        names = {MULTI: "micro_f1", REGRESSION: "pearson"}
        self.metric = names.get(self.problem_type or SINGLE, "accuracy")  # type: ignore[misc]

    def _example(self, row: TableRow) -> LabelledText:
        data = self.recipe.data
        where = row.where
        text = row.text(data.text)
        pair = row.text(data.text_pair) if data.text_pair else None
        column = data.label or "label"
        value = row.get(column)
        if self.problem_type == REGRESSION:
            try:
                number = float(value)
            except (TypeError, ValueError):
                number = math.nan
            if not math.isfinite(number):
                raise row.error(f'column "{column}" must be a number, not {value!r}.')
            return LabelledText(where, text, pair, (), number)
        if isinstance(value, list):
            self.problem_type = self.problem_type or MULTI
            return LabelledText(where, text, pair, self._names(row, value))
        if data.label_separator is not None:
            return LabelledText(
                where, text, pair, self._names(row, str(value or "").split(data.label_separator))
            )
        missing = value is None or (isinstance(value, float) and math.isnan(value))
        names = self._names(row, [] if missing else [value])
        if not names:
            raise row.error(f'column "{column}" is empty.')
        return LabelledText(where, text, pair, names)

    def _names(self, row: TableRow, values: Sequence[Any]) -> tuple[str, ...]:
        """Label names, sorted, each once; numbers become names where the recipe has them."""
        for value in values:
            if not isinstance(value, str | int | float) or value != value:
                raise row.error(f"label {value!r} must be text or a number.")
        found = {str(value).strip() for value in values} - {""}
        names = self.recipe.data.label_names
        if names is not None:
            for value in found:
                if not value.isdecimal() or int(value) >= len(names):
                    raise row.error(
                        f"label {value!r}: data.label_names has numbers from 0 to {len(names) - 1}."
                    )
            found = {names[int(value)] for value in found}
        return tuple(sorted(found))

    def _target(self, example: LabelledText) -> int | float | list[float]:
        if self.problem_type == REGRESSION:
            return example.value
        if self.problem_type == MULTI:
            return [float(label in example.labels) for label in self.labels]
        return self.labels.index(example.labels[0])

    def _chosen(self, answer: list[LabelScore] | ServingError) -> tuple[str, ...]:
        if isinstance(answer, ServingError):
            return ()
        if self.problem_type == MULTI:
            return tuple(sorted(one["label"] for one in answer if one["score"] >= THRESHOLD))
        return (max(answer, key=lambda one: one["score"])["label"],)


def _all_text(example: LabelledText) -> str:
    return f"{example.text} {example.text_pair or ''}"
