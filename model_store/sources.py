"""Where a checkpoint comes from: a folder, a model of the Hugging Face hub, or any fsspec URL.

What is remote is downloaded into a cache first, without pickles and without code; a folder is
served where it lies and nothing is written into it.
"""

import fnmatch
import hashlib
import re
import shutil
from pathlib import Path

from contracts.errors import CheckpointError
from model_store.derive import derive_manifest
from model_store.embedding import module_files
from model_store.files import Progress, sync_tree
from model_store.manifest import MANIFEST_NAME, read_manifest
from model_store.staging import staged_folder, sweep
from model_store.version import ModelVersion
from model_store.weights import ONNX_DECODER, ONNX_ENCODER, ONNX_PATHS, TOKENIZER_FILES

CACHE_NAME = ".cache"

DOWNLOADED = ("*.safetensors", "*.json", *TOKENIZER_FILES)
"""Patterns of the files that are fetched from a remote place; never a pickle, never Python."""
MODULE_FOLDER = re.compile(r"\d+_[A-Za-z]+/[^/]+")
"""Where sentence-transformers keeps what follows the encoder: ``1_Pooling/config.json``."""
OTHER_FOLDERS = "[!0-9]*/*"
"""The pattern of all other folders of a hub's model."""

HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?")


def open_source(
    name: str,
    reference: str,
    *,
    task: str | None = None,
    tokenizer: Path | None = None,
    cache_root: Path,
) -> ModelVersion:
    """Find a checkpoint that is not in the store, and describe it.

    Args:
        name: what it will be called.
        reference: a folder, a hub id (``owner/model`` or ``owner/model@revision``) or a URL that
            fsspec understands (``s3://...``, ``gs://...``, ``file://...``).
        task: overrides what its configuration says.
        tokenizer: the folder of its tokenizer, where it is not the same.
        cache_root: where downloads and exports are kept.

    Raises:
        CheckpointError: it cannot be found or cannot be served; one sentence that says what to do.
    """
    if tokenizer is not None and not tokenizer.is_dir():
        raise CheckpointError(f"The tokenizer folder {tokenizer} does not exist.")
    if "://" in reference:
        folder = _download_url(reference, cache_root)
        _require_safetensors(reference, folder)
    elif Path(reference).expanduser().is_dir():
        folder = Path(reference).expanduser()
    elif HUB_ID.fullmatch(reference) and not reference.startswith("."):
        folder = _download_hub(reference)
        _require_safetensors(reference, folder)
    else:
        raise CheckpointError(f"There is no checkpoint folder {reference}.")
    if (folder / MANIFEST_NAME).is_file():
        number = int(folder.name) if folder.name.isdecimal() else 1
        return ModelVersion(name, number, folder, read_manifest(folder), tokenizer_folder=tokenizer)
    return open_plain(name, folder, task=task, tokenizer=tokenizer, cache_root=cache_root)


def open_plain(
    name: str,
    folder: Path,
    *,
    task: str | None = None,
    tokenizer: Path | None = None,
    cache_root: Path,
) -> ModelVersion:
    """Describe a plain Hugging Face folder as version 1 of a name; see ``derive_manifest``."""
    manifest = derive_manifest(folder, task=task, tokenizer=tokenizer)
    return ModelVersion(
        name=name,
        version=1,
        folder=folder,
        manifest=manifest,
        tokenizer_folder=tokenizer,
        plain=True,
        cache_folder=cache_root / "exports" / f"{name}-{_fingerprint(folder)}",
    )


def _require_safetensors(reference: str, folder: Path) -> None:
    if not any(folder.glob("*.safetensors")):
        raise CheckpointError(
            f"{reference} has no safetensors weights, and pickles are not downloaded; download it "
            "yourself, run `tuneserve convert FOLDER` and serve that folder."
        )


def _fingerprint(folder: Path) -> str:
    """Changes with the folder's path, configuration and weights: no stale export is used."""
    digest = hashlib.sha256(str(folder.resolve()).encode())
    graphs = [folder / name for name in (*ONNX_PATHS, ONNX_ENCODER, ONNX_DECODER)]
    modules = [folder / name for name in module_files(folder) if "/" in name]
    for path in sorted(folder.glob("*")) + graphs + modules:
        if path.suffix in (".safetensors", ".onnx", ".json") and path.is_file():
            stat = path.stat()
            name = path.relative_to(folder)
            digest.update(f"{name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _download_hub(reference: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    repository, _, revision = reference.partition("@")
    try:
        return Path(
            snapshot_download(
                repository,
                revision=revision or None,
                allow_patterns=list(DOWNLOADED),
                ignore_patterns=[OTHER_FOLDERS],
            )
        )
    except GatedRepoError as error:
        raise CheckpointError(
            f"{repository} is gated on the hub; accept its terms and log in with `hf auth login`."
        ) from error
    except RevisionNotFoundError as error:
        raise CheckpointError(f"{repository} has no revision {revision!r} on the hub.") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise CheckpointError(
            f"{repository} is neither a folder here nor a model on the hub (or it is private: log "
            "in with `hf auth login`)."
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise CheckpointError(
            f"{repository} is not a folder here, and the hub cannot be reached to download it."
        ) from error


def _download_url(url: str, cache_root: Path, progress: Progress | None = None) -> Path:
    """Copy a remote folder into the cache, under a name that changes with its contents."""
    import fsspec

    try:
        system, root = fsspec.core.url_to_fs(url)
        found = {
            str(path).removeprefix(root).strip("/"): path
            for path in system.find(root)
            if any(fnmatch.fnmatchcase(str(path).rsplit("/", 1)[-1], name) for name in DOWNLOADED)
        }
        found = {
            name: path
            for name, path in found.items()
            if "/" not in name or MODULE_FOLDER.fullmatch(name)
        }
        if not found:
            raise CheckpointError(f"{url} has no checkpoint: no safetensors, no configuration.")
        digest = hashlib.sha256(url.encode())
        for name in sorted(found):
            digest.update(f"{name} {system.ukey(found[name])}\n".encode())
        target = cache_root / "downloads" / digest.hexdigest()[:16]
        if target.is_dir():
            return target
        sweep(cache_root)
        with staged_folder(cache_root) as folder:
            for name, path in found.items():
                (folder / name).parent.mkdir(exist_ok=True)
                with system.open(path, "rb") as reader, (folder / name).open("wb") as writer:
                    shutil.copyfileobj(reader, writer)
            sync_tree(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                folder.rename(target)
            except OSError:
                if not target.is_dir():  # else another process was faster, with the same files
                    raise
        return target
    except CheckpointError:
        raise
    except (ValueError, ImportError) as error:
        raise CheckpointError(f"{url} cannot be opened: {error}.") from error
    except OSError as error:
        raise CheckpointError(f"{url} cannot be downloaded: {error}.") from error
