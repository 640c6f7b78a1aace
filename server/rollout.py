"""Changing what is served while it is served: on every engine, or on none.

The store decides what versions of a model are served, as it does at the start; ``load`` makes that
true. So an alias that was moved in the store, by ``tuneserve promote`` or here, takes effect
without a restart.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ParamSpec, TypeVar

from contracts.errors import (
    CheckpointError,
    InvalidRequest,
    ServingError,
    Unavailable,
    UnknownModel,
)
from model_store.sources import open_source
from model_store.store import Store
from model_store.version import ModelVersion
from server.catalog import Found, served_versions
from server.client import EnginePool
from server.messages import ModelStatus
from server.roster import Roster
from server.settings import Settings

logger = logging.getLogger(__name__)

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

LOAD_WITHIN_S = 900.0
"""A change that takes longer is given up."""


class Rollout:
    """What an administrator may do; one change at a time over all HTTP processes."""

    def __init__(self, settings: Settings, roster: Roster, engines: EnginePool) -> None:
        self._settings, self._roster, self._engines = settings, roster, engines
        self._store = Store(settings.store)

    async def load(self, reference: str) -> list[ModelStatus]:
        """Serve the versions of a model that the store names, or one more.

        Args:
            reference: ``name``: the versions that would be served after a restart, and no others;
                ``name@3`` or ``name@alias``: this one beside those that are served.

        Returns:
            The versions of the model that are served now.

        Raises:
            UnknownModel: there is no such model or version.
            InvalidRequest: a version is refused; nothing has changed.
            Unavailable: an engine is not there, or another change is under way.
        """
        name, at, pin = reference.partition("@")
        with self._roster.changing() as found:
            return await self._serve(
                found, name, await self._wanted(found, name, pin if at else "")
            )

    async def unload(self, reference: str) -> list[ModelStatus]:
        """Stop serving a model, or one version of it, until it is loaded again.

        Accepted requests are answered. Returns and raises as ``load``.
        """
        name, at, pin = reference.partition("@")
        with self._roster.changing() as found:
            now = self._served(found, name)
            known = [one.name for one in found.versions] + [one.name for one in found.refused]
            if name not in known:
                raise UnknownModel(f"{name} is not served.")
            going = [one for one in now if not at or pin in (str(one.version), *one.aliases)]
            if at and not going:
                raise UnknownModel(f"{reference} is not served.")
            return await self._serve(found, name, [one for one in now if one not in going])

    async def alias(self, name: str, alias: str, version: int) -> list[ModelStatus]:
        """Point an alias to a version, in the store and here.

        The version is loaded first: if it is refused, neither has changed. Returns and raises as
        ``load``.
        """
        with self._roster.changing() as found:
            return await self._point(found, name, alias, version)

    async def rollback(self, name: str, alias: str, version: int | None) -> list[ModelStatus]:
        """Point an alias back to the version that it pointed to before its last promotion.

        Args:
            name: of the model.
            alias: to move.
            version: where to; None: what the version that it points to has replaced.

        Returns and raises as ``load``.
        """
        with self._roster.changing() as found:
            if version is None:
                version = await _in_thread(self._replaced, name, alias)
            return await self._point(found, name, alias, version)

    async def _point(self, found: Found, name: str, alias: str, version: int) -> list[ModelStatus]:
        wanted = await self._wanted(found, name, str(version))
        before = self._served(found, name)
        await self._serve(found, name, wanted)
        try:
            await _in_thread(self._store.set_alias, name, alias, version)
        except ServingError:
            await self._serve(self._roster.read(), name, before)
            raise
        logger.info("alias moved", extra={"model": name, "alias": alias, "version": version})
        now = self._roster.read()
        return await self._serve(now, name, await self._wanted(now, name, ""))

    async def _wanted(self, found: Found, name: str, pin: str) -> list[ModelVersion]:
        """The versions to serve, with their aliases of this moment."""
        served = {one.version for one in self._served(found, name)}
        return await _in_thread(self._look_up, name, pin, served)

    def _look_up(self, name: str, pin: str, served: set[int]) -> list[ModelVersion]:
        for one in self._settings.model:
            known, _, where = one.partition("=")
            if known == name:
                version = open_source(name, where, cache_root=self._store.cache_root)
                if pin not in ("", str(version.version)):
                    raise UnknownModel(
                        f"{name} is a plain folder: its only version is {version.id}."
                    )
                return [version]
        good = self._store.versions(name)
        if pin:
            chosen = self._store.resolve(f"{name}@{pin}").version
            return [one for one in good if one.version in served | {chosen}]
        if not good:
            raise CheckpointError(f"{name} has no version that can be read.")
        return served_versions(self._store, good)

    def _replaced(self, name: str, alias: str) -> int:
        current = self._store.resolve(f"{name}@{alias}")
        for promotion in reversed(current.manifest.promotions):
            if promotion.alias == alias and promotion.replaced is not None:
                return promotion.replaced
        raise InvalidRequest(
            f"{current.id} has no record of what {alias} pointed to before: name the version."
        )

    async def _serve(
        self, found: Found, name: str, versions: Sequence[ModelVersion]
    ) -> list[ModelStatus]:
        """Change over on every engine, or on none; then the roster has it too."""
        before = self._served(found, name)
        try:
            async with asyncio.timeout(LOAD_WITHIN_S):
                await self._engines.serve(name, versions)
        except TimeoutError:
            await self._back(name, before)
            raise Unavailable(f"{name} was not loaded within {LOAD_WITHIN_S:.0f} s.") from None
        except (InvalidRequest, Unavailable):
            await self._back(name, before)
            raise
        others = [one for one in found.versions if one.name != name]
        refused = tuple(one for one in found.refused if one.name != name)
        self._roster.write(replace(found, versions=(*others, *versions), refused=refused))
        return [one for one in self._engines.models if one.name == name]

    async def _back(self, name: str, before: Sequence[ModelVersion]) -> None:
        """Undo on the engines that did follow; one that is not there will read the roster."""
        try:
            async with asyncio.timeout(LOAD_WITHIN_S):
                await self._engines.serve(name, before, back=True)
        except (InvalidRequest, Unavailable, TimeoutError) as error:
            logger.error("a change could not be undone: %s", error, extra={"model": name})

    def _served(self, found: Found, name: str) -> list[ModelVersion]:
        """The versions of a model that answer."""
        ready = {one.id for one in self._engines.models if one.state == "ready"}
        return [one for one in found.versions if one.name == name and one.id in ready]


async def _in_thread(
    work: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Result:
    """Read or write the disk; what is wrong there is told to the caller."""
    try:
        return await asyncio.to_thread(work, *arguments, **named)
    except CheckpointError as error:
        raise InvalidRequest(str(error)) from error
    except OSError as error:
        raise InvalidRequest(f"The store cannot be written: {error}.") from error
