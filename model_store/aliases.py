"""A model's aliases, such as ``production``: names for its versions, in one file beside them."""

import json
from collections.abc import Collection
from pathlib import Path

from contracts.errors import CheckpointError
from model_store.files import read_json, write_atomically
from model_store.names import MODEL_NAME

ALIASES_NAME = "aliases.json"


class Aliases:
    """The aliases of the model whose folder this is; none where it has no such file."""

    def __init__(self, home: Path) -> None:
        self.path = home / ALIASES_NAME

    def read(self) -> dict[str, int]:
        """The aliases and the versions they point to.

        Raises:
            CheckpointError: the file is broken.
        """
        if not self.path.exists():
            return {}
        aliases = read_json(self.path)
        for alias, version in aliases.items():
            if not isinstance(version, int) or not MODEL_NAME.fullmatch(alias):
                raise CheckpointError(
                    f"{self.path}: {alias!r} must be a name that points to an integer."
                )
        return aliases

    def read_if_whole(self) -> dict[str, int]:
        """The same, but none of a broken file: ``check`` is who tells of it."""
        try:
            return self.read()
        except CheckpointError:
            return {}

    def point(self, alias: str, version: int) -> None:
        """Write an alias; the model's folder must be locked."""
        aliases = {**self.read(), alias: version}
        write_atomically(self.path, json.dumps(aliases, indent=2, sort_keys=True))

    def check(self, numbers: Collection[int]) -> None:
        """Refuse a broken file, and aliases that point to none of the versions.

        Raises:
            CheckpointError: with the file, and what to run.
        """
        for alias, number in self.read().items():
            if number not in numbers:
                raise CheckpointError(
                    f"{self.path}: {alias} points to version {number}, which is not there; "
                    f"run `tuneserve models alias {self.path.parent.name} {alias} VERSION`."
                )
