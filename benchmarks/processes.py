"""What a server's processes use: processor time and memory, each by the name of its part."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping

import psutil


class Family:
    """A process and all it started."""

    def __init__(self, pid: int, names: Mapping[int, str] | None = None) -> None:
        """Watch a family.

        Args:
            pid: of the parent.
            names: of those whose part is known; the parent is ``parent``, the others ``other``.
        """
        self.pid = pid
        self.names = {pid: "parent", **(names or {})}

    def members(self) -> list[psutil.Process]:
        """Those that live."""
        parent = psutil.Process(self.pid)
        return [parent, *parent.children(recursive=True)]

    def cpu(self) -> dict[str, float]:
        """Processor seconds so far, by part."""
        return self._summed(lambda one: sum(one.cpu_times()[:2]))

    def pss_bytes(self) -> dict[str, float]:
        """Proportional set size now, by part: shared pages are divided among those who share."""
        return self._summed(lambda one: one.memory_full_info().pss)

    def sleep(self) -> None:
        """Stop the family until it is ``awake``."""
        for one in self.members():
            one.suspend()

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """Let those run that ``sleep``; they do again afterwards. Others are left alone."""
        asleep = [one for one in self.members() if one.status() == psutil.STATUS_STOPPED]
        for one in asleep:
            one.resume()
        try:
            yield
        finally:
            for one in asleep:
                one.suspend()

    def settle(self, quiet_s: float = 0.4, within_s: float = 30.0) -> None:
        """Wait until the family is idle: what a round left in its queues must not cost the next."""
        ends = time.monotonic() + within_s
        before = sum(self.cpu().values())
        while time.monotonic() < ends:
            time.sleep(quiet_s)
            now = sum(self.cpu().values())
            if now - before < 0.3 * quiet_s:  # LitServe polls with a seventh of a core
                return
            before = now

    def _summed(self, measure: Callable[[psutil.Process], float]) -> dict[str, float]:
        found: dict[str, float] = {}
        for one in self.members():
            with contextlib.suppress(psutil.NoSuchProcess):
                name = self.names.get(one.pid, "other")
                found[name] = found.get(name, 0.0) + measure(one)
        return found


def used(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Processor seconds between two looks, by part."""
    return {name: value - before.get(name, 0.0) for name, value in after.items()}
