"""Models are loaded, and freed, in a thread of their own: the engine's loop goes on answering."""

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from model_store.backends.base import BackendChoice
from model_store.hashing import verify_hashes
from model_store.version import ModelVersion
from server.catalog import load_version
from server.messages import ModelStatus

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of a version."""

    status: ModelStatus
    """``ready``, or ``refused`` with the reason."""
    pipeline: Any
    """Warm; None where the version is refused."""


class Loader:
    """Takes orders of the loop, works them off one after the other, and keeps what came of them.

    All methods are the loop's.
    """

    def __init__(self, choice: BackendChoice) -> None:
        """Wait for orders.

        Args:
            choice: backend, precision, device and threads of every model.
        """
        self._choice = choice
        self._orders: queue.SimpleQueue[Callable[[], Loaded | None]] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Loaded | None] = queue.SimpleQueue()
        self._open = 0
        # Hashing does not hold Python's lock: it goes on beside the loading.
        self._hashing = ThreadPoolExecutor(1, thread_name_prefix="hash")
        # A load that hangs must not outlive the server: hence a daemon.
        threading.Thread(target=self._run, name="load", daemon=True).start()

    @property
    def busy(self) -> bool:
        """Whether an order is not done, or its result not taken."""
        return self._open > 0

    def load(self, version: ModelVersion) -> None:
        """Verify, load and warm a version; what becomes of it is told by ``take``."""
        checked = self._hashing.submit(verify_hashes, version)

        def work() -> Loaded:
            return Loaded(*load_version(version, self._choice, checked))

        self._order(work)

    def free(self, pipelines: list[Any]) -> None:
        """Let go of models that nobody asks any more; the caller must have forgotten them."""

        def work() -> None:
            while pipelines:
                pipelines.pop().close()  # the last reference: a collection would hold up the loop

        self._order(work)

    def take(self) -> list[Loaded]:
        """What was loaded or refused since the last call."""
        loaded = []
        while not self._results.empty():
            self._open -= 1
            if (result := self._results.get()) is not None:
                loaded.append(result)
        return loaded

    def _order(self, work: Callable[[], Loaded | None]) -> None:
        self._open += 1
        self._orders.put(work)

    def _run(self) -> None:
        while True:
            work = self._orders.get()
            result = None
            try:
                result = work()
            except Exception:
                logger.exception("a model could not be freed")
            self._results.put(result)
