"""What this server serves at this moment, in a file of its own folder.

The parent writes it at the start. Whoever changes what is served writes it anew, so that an engine
that dies and starts again serves the current models and not those of the start.
"""

import contextlib
import fcntl
import os
import pickle
from collections.abc import Iterator
from pathlib import Path

from contracts.errors import Unavailable
from server.catalog import Found
from server.lanes import Lane


class Roster:
    """One file; only this user may enter its folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Found:
        """Everything."""
        found: Found = pickle.loads(self._path.read_bytes())
        return found

    def of(self, lane: Lane) -> Found:
        """What the engines of a lane serve."""
        return self.read().lanes().get(lane, Found((), ()))

    def write(self, found: Found) -> None:
        """Replace everything, at once for every reader."""
        new = self._path.with_suffix(".new")
        new.write_bytes(pickle.dumps(found))
        os.replace(new, self._path)

    @contextlib.contextmanager
    def changing(self) -> Iterator[Found]:
        """Be the only one who changes it, over all processes, until the block ends.

        Raises:
            Unavailable: another one does.
        """
        with self._path.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Unavailable(
                    "Models are being changed by another request; try again in a moment.", 2
                ) from None
            yield self.read()
