"""When an engine that died starts again."""

import math
import time

RESTART_WITHIN_S = (0.0, 0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Waits before an engine starts again, by how often it died soon after its start."""
SOON_S = 60.0


class Restart:
    """When one engine that died starts again: at once, and ever later if it keeps dying.

    Each engine has its own, so that one lane's trouble does not hold up another's.
    """

    def __init__(self) -> None:
        self.at: float | None = None
        """On the monotonic clock; None while the engine runs."""
        self._deaths = 0
        self._began = time.monotonic()

    @property
    def due_s(self) -> float:
        """Time until the next start; infinite while the engine runs."""
        return math.inf if self.at is None else self.at - time.monotonic()

    def died(self) -> None:
        """The engine ended: fix the time of its next start."""
        now = time.monotonic()
        self._deaths = self._deaths + 1 if now - self._began < SOON_S else 0
        self.at = now + RESTART_WITHIN_S[min(self._deaths, len(RESTART_WITHIN_S) - 1)]

    def started(self) -> None:
        """The engine runs again."""
        self.at, self._began = None, time.monotonic()
