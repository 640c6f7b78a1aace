"""The training seam: what a task adds to the one path from data to a published version.

Serving has its ``Handler``; this is the other half. Rows are the handler's own rows, and scores are
taken from the handler's own answers, so that training and serving cannot disagree.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from contracts.errors import CheckpointError, ServingError
from contracts.tasks import Task
from handlers.base import Prepared
from handlers.load import load_handler
from handlers.pipeline import Pipeline
from handlers.tokenization import TextTokenizer
from model_store.manifest import Manifest
from train.base_model import load_model, untrained_model
from train.live import LiveBackend, input_names
from train.recipe import Recipe
from train.recipe_model import Model
from train.rows import INPUTS, LabelledRow

if TYPE_CHECKING:
    from torch import Tensor

Scores = dict[str, float]
"""By name, 0..1 unless the name says otherwise; higher is better unless it ends in ``error``."""

EVALUATION_TOKENS = 8192
"""Padded tokens of one dev batch."""


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled input, and where it came from."""

    where: str
    """``file, line n``: for error messages."""


class TrainTask(ABC):
    """One task's data, loss and scores. Examples are the task's own subclass of ``Example``."""

    task: ClassVar[Task]
    metric: ClassVar[str]
    """The score that chooses the best checkpoint and that the gate looks at."""
    auto_class: ClassVar[str]
    """The transformers class that loads the architecture with the task's head."""
    per_token: ClassVar[bool] = False
    """Whether target lists have one entry per token and are padded with -100."""
    generates: ClassVar[bool] = False
    """Whether answers are written, token by token."""
    windows: ClassVar[bool] = True
    """Whether a text that is longer than a row is read in several; else it is cut."""
    own_length: ClassVar[bool] = False
    """Whether such a list belongs to tokens of its own, and not to those of the row."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.labels: list[str] = list(recipe.model.labels or [])
        self.class_weights: list[float] | None = None
        """Per label, how much it counts in the loss; None: all alike. Settled by ``weigh``."""
        self.notes: dict[str, int] = {}
        """What reading the data came upon and went on from, counted: for the data card."""

    def note(self, what: str, times: int = 1) -> None:
        """Count something that reading the data came upon."""
        self.notes[what] = self.notes.get(what, 0) + times

    @abstractmethod
    def read(self, path: Path) -> list[Any]:
        """Examples of a file, in its order.

        Raises:
            CheckpointError: the data are wrong; the sentence names file and line.
        """

    @abstractmethod
    def learn_labels(self, examples: Sequence[Any]) -> None:
        """Settle ``labels`` from the training examples, where the recipe has none."""

    def check(self, examples: Sequence[Any]) -> None:  # noqa: B027 - nothing to check by default
        """Refuse examples whose labels the model will not have.

        Raises:
            CheckpointError: an unknown label, with file and line.
        """

    def identity(self, example: Any) -> Hashable:
        """Examples with equal values ask the model the same thing."""
        return " ".join(self.text_of(example).split())

    def stratum(self, example: Any) -> Hashable:
        """Examples of one stratum are split in equal shares."""
        return None

    @property
    def config(self) -> dict[str, Any]:
        """Entries for the model's configuration."""
        return {
            "num_labels": len(self.labels),
            "id2label": dict(enumerate(self.labels)),
            "label2id": {label: index for index, label in enumerate(self.labels)},
        }

    @property
    def generation_defaults(self) -> dict[str, Any]:
        """Defaults of request parameters that the training asks for, beneath the recipe's own."""
        return {}

    def load(self, model: Model) -> Any:
        """The model as it is before the first step, in float32.

        Args:
            model: the recipe's section, with a base that exists.

        Raises:
            CheckpointError: the base cannot be loaded.
        """
        return load_model(model, self.auto_class, self.config)

    def untrained(self, model: Model) -> Any:
        """The same model with weights that mean nothing, for plans: none is read.

        Raises:
            CheckpointError: the base's configuration cannot be loaded.
        """
        return untrained_model(model, self.auto_class, self.config)

    def handler(self, manifest: Manifest, tokenizer: TextTokenizer) -> Any:
        """The task's serving side."""
        return load_handler(manifest, tokenizer)

    def live_answers(
        self, model: Any, handler: Any, items: Sequence[Any], *, bf16: bool
    ) -> list[Any]:
        """Answers of a model in training, through the server's own pipeline.

        Args:
            model: as it stands.
            handler: of the task.
            items: what a client would send.
            bf16: compute as the training steps do.
        """
        backend = LiveBackend(model, bf16=bf16, input_names=input_names(model))
        return Pipeline(handler, backend)(items, EVALUATION_TOKENS)

    def watched(self, dev: Sequence[Any]) -> list[Any]:
        """The dev examples that are answered after each epoch."""
        return list(dev)

    def vocabulary(self, examples: Sequence[Any]) -> Iterator[str]:
        """The texts that a model from scratch makes its vocabulary of."""
        return (self.text_of(example) for example in examples)

    def length(self, row: LabelledRow) -> int:
        """What a row costs in a batch, in tokens."""
        return len(row)

    def inputs(self, model: Any, batch: dict[str, "Tensor"]) -> dict[str, "Tensor"]:
        """What the model is given of a training batch.

        Args:
            model: of transformers.
            batch: as ``train.rows.collate`` makes it.
        """
        return {name: tensor for name, tensor in batch.items() if name in INPUTS}

    def rows(self, examples: Sequence[Any], handler: Any) -> list[LabelledRow]:
        """Training rows: exactly those that serving would run, with their targets.

        Args:
            examples: one may give several rows.
            handler: of the task, with the row length of training.

        Raises:
            CheckpointError: serving would refuse an example.
        """
        rows: list[LabelledRow] = []
        prepared = handler.preprocess(self.items(examples))
        for example, one in zip(examples, prepared, strict=True):
            if isinstance(one, ServingError):
                raise CheckpointError(f"{example.where}: {one}")
            targets = self.targets(example, one, handler.tokenizer)
            rows += [LabelledRow(row, each) for row, each in zip(one.rows, targets, strict=True)]
        return rows

    @abstractmethod
    def targets(
        self, example: Any, prepared: Prepared, tokenizer: TextTokenizer
    ) -> list[dict[str, Any]]:
        """What is to be learnt from each row of one example; see ``LabelledRow``."""

    def weigh(self, rows: Sequence[LabelledRow]) -> None:
        """Settle class weights before the first loss.

        Raises:
            CheckpointError: the recipe asks for them, and this loss has none.
        """
        if self.recipe.optim.class_weights is not None:
            raise CheckpointError(
                "optim.class_weights needs one label per text, or one tag per token."
            )

    def label_weights(self, counts: Mapping[int, int]) -> list[float] | None:
        """``optim.class_weights`` by index of the label.

        Args:
            counts: how many targets there are of each index, for ``"balanced"``: every label then
                has the same share of the loss.

        Raises:
            CheckpointError: the recipe weighs a label that the model does not have.
        """
        wish = self.recipe.optim.class_weights
        if wish is None:
            return None
        if wish == "balanced":
            total, indices = sum(counts.values()), range(len(self.labels))
            return [total / len(counts) / max(1, counts.get(index, 0)) for index in indices]
        for name in wish.keys() - set(self.labels):
            near = get_close_matches(name, self.labels, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"there is {self.labels[0]}."
            raise CheckpointError(f'optim.class_weights: no label "{name}"; {hint}')
        return [wish.get(label, 1.0) for label in self.labels]

    @abstractmethod
    def loss(self, outputs: Any, targets: dict[str, "Tensor"], smoothing: float) -> "Tensor":
        """The mean loss of one batch.

        Args:
            outputs: of the transformers model.
            targets: by the names of ``LabelledRow.targets``, rows first.
            smoothing: share of the probability that is spread over all classes.
        """

    @abstractmethod
    def text_of(self, example: Any) -> str:
        """The text whose length counts."""

    @abstractmethod
    def items(self, examples: Sequence[Any]) -> list[Any]:
        """What a client would send for these examples."""

    @abstractmethod
    def score(self, examples: Sequence[Any], answers: Sequence[Any]) -> Scores:
        """Compare the handler's answers (or errors, which count as wrong) with the labels."""

    def agreement(self, reference: Sequence[Any], answers: Sequence[Any]) -> float:
        """Share of answers that say the same as the reference's."""
        same = sum(self.same(one, other) for one, other in zip(reference, answers, strict=True))
        return same / max(1, len(reference))

    @abstractmethod
    def same(self, reference: Any, answer: Any) -> bool:
        """Whether two answers agree in what matters."""

    def tokens(self, answers: Sequence[Any], tokenizer: TextTokenizer) -> int | None:
        """Tokens that were written for answers; None where answers are not written."""
        return None

    @abstractmethod
    def baselines(self, train: Sequence[Any], test: Sequence[Any]) -> dict[str, list[Any]]:
        """Answers of methods that need no model, by name, in the handler's form."""

    def label_counts(self, examples: Sequence[Any]) -> dict[str, int]:
        """How often each label occurs: the data card."""
        return {}
