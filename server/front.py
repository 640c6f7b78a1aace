"""What every route shares: one object per HTTP process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contracts.errors import Unavailable
from server.admission import Admission
from server.auth import KeyRing
from server.cache import AnswerCache
from server.client import EnginePool
from server.directory import find_default, find_model
from server.drain import Drain
from server.messages import ModelStatus
from server.metrics import Metrics
from server.settings import Settings


@dataclass(frozen=True, slots=True)
class Front:
    """The state of one HTTP process."""

    settings: Settings
    engines: EnginePool
    metrics: Metrics
    admission: Admission
    cache: AnswerCache
    keys: KeyRing
    drain: Drain
    server_pid: int

    @property
    def models(self) -> Sequence[ModelStatus]:
        """Every configured model, also the refused ones."""
        return self.engines.models

    def model(self, reference: str) -> ModelStatus:
        """The model that a URL names; see ``find_model``."""
        if not self.models and not self.engines.ready:
            raise Unavailable("The engine is starting; try again in a moment.", 2)
        return find_model(reference, self.models)

    def default_model(
        self, fits: Callable[[ModelStatus], bool] = lambda _: True, needs: str = ""
    ) -> ModelStatus:
        """The model of the paths that name none; see ``find_default``."""
        if not self.models and not self.engines.ready:
            raise Unavailable("The engine is starting; try again in a moment.", 2)
        return find_default(self.models, self.settings.default_model, fits, needs)
