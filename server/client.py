"""The HTTP side's view of all engines: the pool that picks the link for a request."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from contracts.errors import InvalidRequest, Unavailable
from model_store.version import ModelVersion
from server.lanes import Lane
from server.link import EngineLink
from server.messages import BatchRan, Decoding, ModelStatus, Serve, Work


class EnginePool:
    """All engines of this server; those of one lane are alike: each holds every model of it."""

    def __init__(
        self,
        paths: Mapping[Lane, Sequence[Path]],
        models: Mapping[Lane, Sequence[ModelStatus]],
        on_batch: Callable[[BatchRan], None],
    ) -> None:
        """Name the engines; ``running`` connects to them.

        Args:
            paths: the sockets of each lane that is served.
            models: what each lane will load, so that a model is known before its engine is there.
            on_batch: called for each batch that an engine ran.
        """
        self.links = [EngineLink(lane, path, on_batch) for lane in paths for path in paths[lane]]
        self._ids = itertools.count(1)
        self._seen = {lane: tuple(models[lane]) for lane in paths}

    @asynccontextmanager
    async def running(self, silence_s: float) -> AsyncIterator[None]:
        """Keep every link connected; see ``EngineLink.run``."""
        tasks = [asyncio.create_task(link.run(silence_s)) for link in self.links]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def waiting(self, lane: Lane) -> int:
        """Requests that are with the engines of a lane."""
        return sum(len(link.waiting) for link in self._of(lane))

    @property
    def all_waiting(self) -> int:
        """Requests that are with any engine."""
        return sum(len(link.waiting) for link in self.links)

    @property
    def models(self) -> tuple[ModelStatus, ...]:
        """The models of every lane, as that of its engines sees them which has most of them ready.

        While none is there, a lane's models are loading.
        """
        return tuple(model for lane in self._seen for model in self._models(lane))

    @property
    def ready(self) -> bool:
        """Whether every engine is there with no model still loading."""
        return all(
            link.status is not None
            and all(model.state != "loading" for model in link.status.models)
            for link in self.links
        )

    @property
    def decoding(self) -> list[Decoding]:
        """What the generating engines last told, one entry per engine and model."""
        return [told for link in self.links for told in link.decoding.values()]

    def pid(self, model: ModelStatus) -> int | None:
        """The process that serves a model, or the first of several; None where it does not."""
        if model.state != "ready":
            return None
        return next((link.pid for link in self._of(Lane.of(model.generates)) if link.pid), None)

    def choose(
        self, lane: Lane, model: str, build: Callable[[int], Work]
    ) -> tuple[EngineLink, Work]:
        """Find the engine of a lane with the least to do that has a model; give the work its id.

        Raises:
            Unavailable: no engine is there, or none has it yet.
        """
        up = [link for link in self._of(lane) if model in link.ready]
        if not up:
            raise Unavailable("The engine is starting; try again in a moment.")
        return min(up, key=lambda link: len(link.waiting)), build(next(self._ids))

    async def serve(
        self, name: str, versions: Sequence[ModelVersion], *, back: bool = False
    ) -> None:
        """Let every engine serve these versions of a model, and only these, each lane its own.

        It ends when all of them do. If one does not they may differ: take it back.

        Args:
            name: of the model.
            versions: that it has from now on.
            back: these were served before a change that failed. An engine that is not there does
                not matter then: it starts with them.

        Raises:
            Unavailable: an engine is not there, or died meanwhile.
            InvalidRequest: there is no engine for such a model, or a version is refused.
        """
        by_lane: dict[Lane, list[ModelVersion]] = {link.lane: [] for link in self.links}
        for version in versions:
            lane = Lane.of(version.manifest.generates)
            if lane not in by_lane:
                raise InvalidRequest(
                    f"{version.id} is of a kind that this server was started without"
                    f" ({'it generates' if lane is Lane.GENERATION else 'it does not generate'}):"
                    " restart it with such a model."
                )
            by_lane[lane].append(version)
        up = [link for link in self.links if link.status is not None]
        if len(up) < len(self.links) and not back:
            raise Unavailable("An engine is starting; try again in a moment.", 2)
        number = next(self._ids)
        served = await asyncio.gather(
            *(link.serve(Serve(number, name, tuple(by_lane[link.lane]))) for link in up),
            return_exceptions=True,
        )
        for one in served:
            error = one if isinstance(one, BaseException) else one.error
            if error is not None and not (back and isinstance(error, Unavailable)):
                raise error

    def _of(self, lane: Lane) -> Iterable[EngineLink]:
        return (link for link in self.links if link.lane is lane)

    def _models(self, lane: Lane) -> tuple[ModelStatus, ...]:
        most = max(self._of(lane), key=lambda link: len(link.ready) if link.status else -1)
        if most.status is not None:
            self._seen[lane] = most.status.models
            return most.status.models
        return tuple(
            model if model.state == "refused" else replace(model, state="loading")
            for model in self._seen[lane]
        )
