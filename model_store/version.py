"""A version that was found: a folder with its manifest, ready to be loaded."""

from dataclasses import dataclass, field
from pathlib import Path

from model_store.manifest import Artifact, Manifest


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of one model on this machine's disk.

    A plain Hugging Face folder is version 1 of the name it was given: its manifest is derived from
    ``config.json``, nothing in it is verified, and nothing is ever written into it.
    """

    name: str
    version: int
    folder: Path
    manifest: Manifest
    aliases: tuple[str, ...] = ()
    tokenizer_folder: Path | None = None
    plain: bool = False
    cache_folder: Path | None = field(default=None, compare=False)
    """Where exports of a plain folder are kept; beside the store, never in the user's folder."""

    @property
    def id(self) -> str:
        """``name@version``, as answers and logs name it."""
        return f"{self.name}@{self.version}"

    def artifact(self, format: str, precision: str) -> Artifact | None:
        """The artifact of that kind, or None."""
        for artifact in self.manifest.artifacts:
            if (artifact.format, artifact.precision) == (format, precision):
                return artifact
        return None
