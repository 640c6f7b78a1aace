"""Hashes of files: made when a version is published, checked when it is loaded."""

import hashlib
from collections.abc import Collection
from pathlib import Path

from contracts.errors import CheckpointError
from model_store.files import BLOCK_BYTES, Progress, files_under
from model_store.manifest import MANIFEST_NAME, Manifest
from model_store.version import ModelVersion


def sha256_of(path: Path, progress: Progress | None = None) -> str:
    """The SHA-256 of a file as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
            if progress:
                progress(len(block))
    return digest.hexdigest()


def seal(folder: Path, manifest: Manifest, progress: Progress | None) -> Manifest:
    """A manifest with the hashes and sizes of everything that lies in the folder.

    Raises:
        CheckpointError: it names an artifact that is not there.
    """
    hashes = {
        path.relative_to(folder).as_posix(): sha256_of(path, progress)
        for path in files_under(folder)
        if path.name != MANIFEST_NAME or path.parent != folder
    }
    artifacts = []
    for artifact in manifest.artifacts:
        paths = [path for path in (artifact.path, artifact.encoder) if path]
        for path in paths:
            if not (folder / path).is_file():
                raise CheckpointError(f"The build left no file {path}, which its manifest names.")
        size = artifact.bytes or sum((folder / path).stat().st_size for path in paths)
        sha256 = hashes.pop(artifact.path)
        artifacts.append(artifact.model_copy(update={"sha256": sha256, "bytes": size}))
    return manifest.model_copy(update={"artifacts": artifacts, "files": hashes})


def verify_hashes(
    version: ModelVersion,
    progress: Progress | None = None,
    *,
    without: Collection[str] = (),
) -> None:
    """Compare every artifact and every other file of a version with its manifest.

    A plain folder has no recorded hashes, so there is nothing to compare.

    Args:
        version: of the store, or a plain folder.
        progress: is told how many bytes were read.
        without: paths in the version's folder that are not looked at.

    Raises:
        CheckpointError: a file is missing, unreadable, or not the one that was published.
    """
    if version.plain:
        return
    expected = {artifact.path: artifact.sha256 for artifact in version.manifest.artifacts}
    expected |= version.manifest.files
    for name, sha256 in expected.items():
        if name not in without:
            verify_file(version, name, sha256, progress)


def verify_file(
    version: ModelVersion, name: str, sha256: str, progress: Progress | None = None
) -> None:
    """Compare one file of a version with the hash that was recorded.

    Raises:
        CheckpointError: it is missing, unreadable, or not the one that was published.
    """
    path = version.folder / name
    try:
        actual = sha256_of(path, progress)
    except OSError as error:
        raise CheckpointError(
            f"{version.id}: {path} cannot be read ({error.strerror}); publish the version again."
        ) from error
    if actual != sha256:
        raise CheckpointError(
            f"{version.id}: {path} is not the file that was published (its sha256 differs from "
            "the manifest's); restore the file or publish the version again."
        )
