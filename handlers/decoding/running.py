"""The running batch: requests join and leave it between any two steps."""

from collections.abc import Sequence

import numpy as np

from handlers.decoding.beams import BeamSearch
from handlers.decoding.search import Search, SingleSearch
from handlers.decoding.settings import Decoding
from model_store.backends.seq2seq.base import Seq2SeqBackend, Source


def search_for(decoding: Decoding) -> type[Search]:
    """The strategy that the parameters ask for."""
    return BeamSearch if decoding.num_beams > 1 else SingleSearch


class RunningBatch:
    """All searches of one model that decode now; a step moves each by one token."""

    def __init__(self, backend: Seq2SeqBackend) -> None:
        """Start empty."""
        self._rows = backend.rows()
        self._searches: list[Search] = []

    def __len__(self) -> int:
        """Rows."""
        return len(self._rows)

    @property
    def searches(self) -> Sequence[Search]:
        """Who runs."""
        return self._searches

    @property
    def held_bytes(self) -> int:
        """Memory of the key-value caches."""
        return self._rows.held_bytes

    def add(self, source: Source, index: int, search: Search) -> None:
        """Let a request join.

        Args:
            source: its text, encoded with others maybe.
            index: which of those.
            search: before its first token.
        """
        self._rows.add(source, index, search.rows)
        self._searches.append(search)

    def step(self) -> None:
        """Decode one token in every row; what ends leaves the batch."""
        ids = np.array([id for search in self._searches for id in search.newest], dtype=np.int64)
        logits = self._rows.step(ids)
        # A number that is none makes the largest of its row none.
        whole = np.isfinite(logits.max(axis=1))
        kept: list[int] = []
        running = []
        moved = False
        start = 0
        for search in self._searches:
            rows = range(start, start + search.rows)
            start += search.rows
            mine = slice(rows.start, rows.stop)
            search.broken = not whole[mine].all()
            parents = None if search.broken else search.advance(logits[mine])
            if search.broken or search.ended is not None:
                moved = True
                continue
            running.append(search)
            moved = moved or parents is not None
            kept += rows if parents is None else (rows.start + parents).tolist()
        self._searches = running
        if moved:
            self._rows.select(np.array(kept, dtype=np.int64))

    def drop(self, gone: Sequence[Search]) -> None:
        """Take searches out that nobody waits for."""
        kept: list[int] = []
        start = 0
        for search in self._searches:
            if search not in gone:
                kept += range(start, start + search.rows)
            start += search.rows
        self._searches = [search for search in self._searches if search not in gone]
        self._rows.select(np.array(kept, dtype=np.int64))
