"""Copy what serving needs of a checkpoint into another folder, as the start of a new version."""

from datetime import UTC, datetime
from pathlib import Path

from model_store.embedding import module_files
from model_store.files import Progress, copy_file
from model_store.hashing import verify_hashes
from model_store.manifest import Manifest
from model_store.tokenizer import copy_tokenizer, load_tokenizer
from model_store.version import ModelVersion
from model_store.weights import WEIGHTS_INDEX, shards_of


def copied_files(version: ModelVersion) -> list[str]:
    """The files of a version that ``copy_checkpoint`` copies byte by byte, by relative path."""
    names = version.manifest.artifact_paths
    if not version.plain:
        return list(dict.fromkeys([*names, *version.manifest.files]))
    for name in list(names):
        path = version.folder / name
        if name == WEIGHTS_INDEX:
            names += [shard.name for shard in shards_of(path)]
        if path.suffix == ".onnx":  # external data lies beside the graph: model.onnx.data, ..._data
            names += [
                other.relative_to(version.folder).as_posix()
                for other in path.parent.glob(f"{path.name}[._]data*")
            ]
    settings = [
        name
        for name in ("config.json", "generation_config.json")
        if (version.folder / name).is_file()
    ]
    if version.manifest.embedding is not None:
        settings += module_files(version.folder)
    return [*settings, *names]


def copied_bytes(version: ModelVersion) -> int:
    """How much ``copy_checkpoint`` copies, for a progress bar."""
    return sum((version.folder / name).stat().st_size for name in copied_files(version))


def copy_checkpoint(
    version: ModelVersion, target: Path, progress: Progress | None = None
) -> Manifest:
    """Copy a version's configuration, artifacts and tokenizer into an empty folder.

    The tokenizer becomes a ``tokenizer.json`` if it was not one. A published version is verified
    first and copied whole, its measurements included; its promotions stay its own.

    Returns:
        The manifest for the copy, for ``Store.publish`` to complete.

    Raises:
        CheckpointError: the tokenizer cannot be read, or a file is not the one published.
    """
    verify_hashes(version)
    for name in copied_files(version):
        copy_file(version.folder / name, target / name, progress)
    if version.plain or version.tokenizer_folder:
        copy_tokenizer(version.tokenizer_folder or version.folder, target)
    load_tokenizer(target)
    return version.manifest.model_copy(update={"created": datetime.now(UTC), "promotions": []})
