"""A model that answers several kinds of request: each kind of item goes to its own handler."""

from collections.abc import Sequence
from typing import Any

from contracts.errors import ServingError
from contracts.tensors import Tensors
from handlers.base import Handler, Prepared


class Several(Handler[Any, Any]):
    """The handlers of one model, by the class of their items; rows of all share its batches.

    All of them read outputs of one kind, by row or by token.
    """

    def __init__(self, handlers: Sequence[Handler[Any, Any]]) -> None:
        """Put handlers together; the first is that of the model's own task."""
        first = handlers[0]
        super().__init__(first.manifest, first.tokenizer)
        self.task = first.task  # type: ignore[misc]
        self.per_token = first.per_token  # type: ignore[misc]
        self.handlers = {handler.item: handler for handler in handlers}

    def preprocess(self, items: Sequence[Any]) -> list[Prepared | ServingError]:
        """One call per kind of item."""
        prepared: list[Any] = [None] * len(items)
        for kind, handler in self.handlers.items():
            places = [place for place, item in enumerate(items) if type(item) is kind]
            if not places:
                continue
            found = handler.preprocess([items[place] for place in places])
            for place, one in zip(places, found, strict=True):
                prepared[place] = one
        return prepared

    def postprocess(self, item: Any, prepared: Prepared, outputs: Sequence[Tensors]) -> Any:
        """By the handler that prepared the item."""
        return self.handlers[type(item)].postprocess(item, prepared, outputs)
