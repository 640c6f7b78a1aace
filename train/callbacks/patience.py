"""How long a run may go on without a better score."""


class Patience:
    """Counts evaluations whose score is not above the best so far by ``min_gain``."""

    def __init__(self, evaluations: int, min_gain: float) -> None:
        self.evaluations, self.min_gain = evaluations, min_gain
        self._best = float("-inf")
        self._waited = 0

    def over(self, score: float) -> bool:
        """Note a score; True when it ends the patience, which then begins anew."""
        if score > self._best + self.min_gain:
            self._best, self._waited = score, 0
            return False
        self._waited = (self._waited + 1) % self.evaluations
        return self._waited == 0
