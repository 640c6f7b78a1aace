"""The handler seam: what a task must do on both sides of the backend."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from contracts.errors import ServingError
from contracts.tasks import Task
from contracts.tensors import Tensors
from handlers.tokenization import Row, TextTokenizer
from model_store.manifest import Manifest

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True)
class Prepared:
    """One item on its way to the backend: its rows, and what its answer will be made with."""

    rows: list[Row]
    truncated: bool = False
    context: Any = None
    """The handler's own: offsets, sentences, windows."""
    windows: int | None = None
    """Parts that its longest text was read in; None: as many as there are rows."""


class Handler(ABC, Generic[Item, Result]):
    """One task: text in, answer out, around a backend it never sees.

    A caller's fault is a returned ``ServingError``; a bug raises. A handler keeps no state between
    calls, and an answer depends on its own item alone.
    """

    task: ClassVar[Task]
    item: ClassVar[type]
    """The class of its items."""
    per_token: ClassVar[bool] = True
    """Whether outputs have a token axis, which is cut to each row's length."""

    def __init__(self, manifest: Manifest, tokenizer: TextTokenizer) -> None:
        """Keep what every answer needs; subclasses derive their tables here, once."""
        self.manifest = manifest
        self.tokenizer = tokenizer

    @abstractmethod
    def preprocess(self, items: Sequence[Item]) -> list[Prepared | ServingError]:
        """Tokenise all items in one call; one item may give several rows, or its own error.

        Returns:
            One entry per item, in order.
        """

    def condense(self, row: Row, outputs: Tensors) -> Tensors:
        """Keep of one row's outputs what ``postprocess`` needs; called as soon as it has run."""
        return outputs

    @abstractmethod
    def postprocess(
        self, item: Item, prepared: Prepared, outputs: Sequence[Tensors]
    ) -> Result | ServingError:
        """Turn the outputs of one item's rows into its answer.

        Args:
            item: the item as it came.
            prepared: what ``preprocess`` returned for it.
            outputs: per row, in the order of ``prepared.rows``: what ``condense`` kept of float32
                arrays without the row axis, ``(labels,)``, ``(tokens, labels)`` or ``(tokens,)``;
                tokens is the row's own length, special tokens included, padding cut off.
        """
