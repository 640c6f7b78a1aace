"""Answers that were given before, for those who ask the same of the same version again."""

import pickle
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from contracts.errors import ServingError
from server.messages import Done


class AnswerCache:
    """Keeps the answers that were asked for last, up to a number of bytes.

    A key holds everything that an answer depends on: the version, which never changes, and the
    items with their parameters. Errors are not kept.
    """

    def __init__(self, max_bytes: int) -> None:
        """Start empty.

        Args:
            max_bytes: of all keys and answers as they are sent between processes; 0: keep nothing.
        """
        self.bytes = 0
        self.hits = self.misses = 0
        self._max_bytes = max_bytes
        self._kept: OrderedDict[bytes, tuple[Done, int]] = OrderedDict()

    def __len__(self) -> int:
        """Answers that are kept."""
        return len(self._kept)

    @property
    def on(self) -> bool:
        """Whether anything is kept."""
        return self._max_bytes > 0

    def key(self, model: str, items: Sequence[Any]) -> bytes:
        """What the answers of these items are kept under.

        Args:
            model: ``name@version``, and when it was made: a plain folder may be loaded anew under
                the same name.
            items: of one request.
        """
        return pickle.dumps((model, list(items)), protocol=pickle.HIGHEST_PROTOCOL)

    def get(self, key: bytes) -> Done | None:
        """The answers, or None."""
        kept = self._kept.get(key)
        if kept is None:
            self.misses += 1
            return None
        self.hits += 1
        self._kept.move_to_end(key)
        return kept[0]

    def put(self, key: bytes, done: Done) -> None:
        """Keep answers, in place of those that were not asked for the longest time."""
        if key in self._kept or any(isinstance(one, ServingError) for one in done.answers):
            return
        size = len(key) + len(pickle.dumps(done, protocol=pickle.HIGHEST_PROTOCOL))
        if size > self._max_bytes:
            return
        self._kept[key] = (done, size)
        self.bytes += size
        while self.bytes > self._max_bytes:
            _, (_, freed) = self._kept.popitem(last=False)
            self.bytes -= freed
