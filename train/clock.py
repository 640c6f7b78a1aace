"""Where the time of a run goes, told to a person or to a program."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console


@dataclass(slots=True)
class Clock:
    """Seconds per phase, and a line for the person who waits.

    Attributes:
        console: for that person; quiet where a program reads.
        name: of the model.
        events: a JSON line on standard output for each thing that ``tell`` is told.
        seconds: of the clock on the wall.
        cpu_seconds: of all threads of this process: what it would cost on an idle machine.
    """

    console: Console
    name: str
    events: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str, *, spinner: bool = True) -> Iterator[None]:
        """Time what happens inside; it may draw its own bar instead of the spinner."""
        started, cpu_started = time.perf_counter(), time.process_time()
        with self.console.status(f"{self.name}: {name}") if spinner else nullcontext():
            yield
        self.seconds[name] = time.perf_counter() - started
        self.cpu_seconds[name] = time.process_time() - cpu_started
        self.console.print(f"{self.name}: {name}, {self.seconds[name]:.1f} s", highlight=False)
        self.tell("phase", name=name, seconds=round(self.seconds[name], 3))

    def tell(self, event: str, **values: Any) -> None:
        """One event for a program; ``model`` and ``event`` are in each."""
        if self.events:
            line = {"model": self.name, "event": event, **values}
            print(json.dumps(line, ensure_ascii=False, default=str), flush=True)
