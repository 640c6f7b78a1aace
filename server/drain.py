"""How the HTTP process ends: what was accepted is answered, what comes later is sent elsewhere."""

import time
from types import TracebackType

GRACE_S = 0.5
"""Time in which late arrivals get an answer (503): before the port closes, and again after that."""


class Drain:
    """Counts the requests in flight, and knows when the process may end."""

    def __init__(self, timeout_s: float) -> None:
        self.in_flight = 0
        self._timeout_s = timeout_s
        self._began: float | None = None

    @property
    def begun(self) -> bool:
        """Whether new requests are refused."""
        return self._began is not None

    @property
    def over(self) -> bool:
        """Whether nothing is left to wait for, or the time is up."""
        if self._began is None:
            return False
        waited_s = time.monotonic() - self._began
        return waited_s > self._timeout_s or (waited_s > GRACE_S and self.in_flight == 0)

    def begin(self) -> None:
        """Refuse new requests from now on."""
        self._began = self._began or time.monotonic()

    def __enter__(self) -> None:
        self.in_flight += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.in_flight -= 1
