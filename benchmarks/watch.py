"""Somebody who looks at a server while it is under load: whether it lives, and how large it is."""

import threading
import time
from typing import Any, Self

import httpx

from benchmarks.servers import Target

LIVEZ_EVERY_S, PSS_EVERY = 0.25, 8
LATE_S = 5.0


class Watch:
    """A thread that asks for /livez four times a second, and for the memory every two seconds."""

    def __init__(self, target: Target) -> None:
        """Look at the memory before anything begins."""
        self._target = target
        self._pss = [sum(target.family.pss_bytes().values())]
        self._times: list[float] = []
        self._failed = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def seen(self) -> dict[str, Any]:
        """What was found, once it is over."""
        return {
            "livez_failed": self._failed,
            "livez_slowest_ms": max(self._times, default=0.0) * 1000,
            "livez_asked": len(self._times) + self._failed,
            "pss_first": self._pss[0],
            "pss_last": self._pss[-1],
            "pss_most": max(self._pss),
        }

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._pss.append(sum(self._target.family.pss_bytes().values()))

    def _look(self) -> None:
        with httpx.Client(base_url=self._target.root, timeout=LATE_S) as client:
            turn = 0
            while not self._over.wait(LIVEZ_EVERY_S):
                turn += 1
                began = time.perf_counter()
                try:
                    good = client.get("/livez").status_code == 200
                except httpx.HTTPError:
                    good = False
                if good:
                    self._times.append(time.perf_counter() - began)
                else:
                    self._failed += 1
                if turn % PSS_EVERY == 0:
                    self._pss.append(sum(self._target.family.pss_bytes().values()))
