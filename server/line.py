"""The requests of one lane that wait, and how long that takes."""

import math
import time

from contracts.errors import Overloaded

MEMORY_S = 5.0
"""The rate is that of about so many seconds of work."""

FADE_S = 60.0
"""After so long without it, a higher rate of before counts for a third."""

LONGEST_RETRY_S = 60


class Line:
    """Lets requests wait while they can be answered in time, as far as anybody knows.

    The measure is characters, since that is known before any text is tokenised; the rate at which
    they are answered is learnt from the answers, while somebody waits.
    """

    def __init__(self, longest: int) -> None:
        """Start with nothing known.

        Args:
            longest: requests that may wait.
        """
        self.waiting = 0
        self.characters = 0
        """Of all that wait."""
        self.rate = 0.0
        """Characters answered a second; 0: not known yet."""
        self._longest = longest
        self._answered = self._busy_s = 0.0
        """What was answered lately, and the time for which somebody waited meanwhile; both fade."""
        self._since = 0.0

    def check(self) -> None:
        """Refuse at once where there is no room, whatever the request is.

        Raises:
            Overloaded: too many wait.
        """
        if self.waiting >= self._longest:
            raise self._refusal(f"{self.waiting} requests wait already", self.wait_s(0))

    def check_share(self, mine: int) -> None:
        """Refuse at once whoever fills half of the line: the other half is for everybody else.

        Args:
            mine: requests of one key that are in flight, the new one included.

        Raises:
            Overloaded: too many of these wait.
        """
        if mine > 1 and mine > self._longest // 2:
            sentence = f"{mine - 1} requests of this key wait already, half of what may wait"
            raise self._refusal(sentence, self.wait_s(0))

    def enter(self, characters: int, deadline: float, now: float | None = None) -> None:
        """Let one more request wait, until ``leave``.

        Args:
            characters: of its texts.
            deadline: when its answer must be there, on the monotonic clock.
            now: that clock; for tests.

        Raises:
            Overloaded: too many wait, or it would not be answered in time.
        """
        self.check()
        now = time.monotonic() if now is None else now
        late = self.wait_s(characters) - (deadline - now)
        if self.waiting and late > 0:
            sentence = f"{self.waiting} requests with {self.characters} characters wait already"
            raise self._refusal(f"{sentence}, so this one would be late", late)
        if not self.waiting:
            self._since = now
        self.waiting += 1
        self.characters += characters

    def leave(self, characters: int, *, answered: bool, now: float | None = None) -> None:
        """One that waited is gone.

        Args:
            characters: as they were told to ``enter``.
            answered: whether the engine did the work.
            now: the monotonic clock; for tests.
        """
        now = time.monotonic() if now is None else now
        self.waiting -= 1
        self.characters -= characters
        passed, self._since = now - self._since, now
        fade = math.exp(-passed / MEMORY_S)
        self._answered = self._answered * fade + (characters if answered else 0)
        self._busy_s = self._busy_s * fade + passed
        # Few that wait do not show what can be done: then the rate of before still counts.
        self.rate = max(
            self._answered / max(self._busy_s, 1e-3), self.rate * math.exp(-passed / FADE_S)
        )

    def wait_s(self, characters: int) -> float:
        """How long a request with so many characters would take; 0 while the rate is not known."""
        return (self.characters + characters) / self.rate if self.rate else 0.0

    def _refusal(self, sentence: str, seconds: float) -> Overloaded:
        whole = min(max(1, math.ceil(seconds)), LONGEST_RETRY_S)
        return Overloaded(f"{sentence}; try again in {whole} s.", whole)
