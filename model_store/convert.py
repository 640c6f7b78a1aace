"""From a pickled checkpoint to safetensors: tensors only, read by a process that is nobody else.

``torch.load(weights_only=True)`` refuses everything but tensors and plain containers. It runs in a
child process all the same, so that a file which finds a hole in it cannot touch the caller.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from contracts.errors import CheckpointError
from contracts.extras import require
from model_store import convert_child
from model_store.files import copy_file, read_json, sync
from model_store.weights import WEIGHTS, WEIGHTS_INDEX, pickles, shards_of

PICKLE_INDEX = "pytorch_model.bin.index.json"
COPIED_SUFFIXES = (".json", ".txt", ".model")
"""Files beside the weights that make a checkpoint complete."""


def convert(
    folder: Path,
    destination: Path | None = None,
    *,
    progress: Callable[[Path], None] | None = None,
) -> Path:
    """Write ``model.safetensors`` from a checkpoint's pickled weights.

    A sharded checkpoint stays sharded. Tensors that share memory are written once per name. Names
    and values are kept as they are.

    Args:
        folder: with ``pytorch_model.bin``, its sharded form, or one other pickle.
        destination: a folder for the converted checkpoint, with copies of its configuration and
            tokenizer; default: ``folder`` itself.
        progress: told each file that is about to be converted.

    Returns:
        ``model.safetensors``, or the index of its shards.

    Raises:
        CheckpointError: there is nothing to convert, it is converted already, or a file holds more
            than tensors.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder.")
    target = destination or folder
    for name in (WEIGHTS, WEIGHTS_INDEX):
        if (target / name).exists():
            raise CheckpointError(f"{target / name} exists already; there is nothing to convert.")
    sources = _sources(folder)
    require("torch")
    target.mkdir(parents=True, exist_ok=True)
    if destination is not None:
        for path in sorted(folder.iterdir()):
            if path.suffix in COPIED_SUFFIXES and path.name != PICKLE_INDEX:
                copy_file(path, destination / path.name)
    renamed = {source.name: _new_name(source, len(sources)) for source in sources}
    _convert_files([(source, target / renamed[source.name]) for source in sources], progress)
    if not (folder / PICKLE_INDEX).is_file():
        return target / WEIGHTS
    index = read_json(folder / PICKLE_INDEX)
    index["weight_map"] = {name: renamed[file] for name, file in index["weight_map"].items()}
    written = target / WEIGHTS_INDEX
    fresh = written.with_suffix(".new")
    fresh.write_text(json.dumps(index, indent=2), encoding="utf-8")
    sync(fresh)
    fresh.replace(written)
    return written


def _sources(folder: Path) -> list[Path]:
    index = folder / PICKLE_INDEX
    if index.is_file():
        return shards_of(index)
    found = pickles(folder)
    for path in found:
        if path.name == "pytorch_model.bin":
            return [path]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise CheckpointError(
            f"{folder} must hold pytorch_model.bin or one other pickle to convert; found: {names}."
        )
    return found


def _new_name(source: Path, shards: int) -> str:
    if shards == 1:
        return WEIGHTS
    return source.with_suffix(".safetensors").name.removeprefix("pytorch_")


def _convert_files(pairs: list[tuple[Path, Path]], progress: Callable[[Path], None] | None) -> None:
    """Convert files in one process of their own; each target appears whole or not at all."""
    fresh = {target: target.with_name(f".{target.name}.{os.getpid()}") for _, target in pairs}
    arguments = [str(path) for source, target in pairs for path in (source, fresh[target])]
    try:
        with (
            tempfile.TemporaryFile("w+") as complaints,
            subprocess.Popen(
                [sys.executable, "-I", convert_child.__file__, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
            ) as child,
        ):
            reading, refused = pairs[0][0], ""
            for line in child.stdout or ():
                word, _, rest = line.strip().partition(" ")
                if word == convert_child.READING:
                    reading = Path(rest)
                    if progress:
                        progress(reading)
                elif word == convert_child.REFUSED:
                    refused = rest
            if refused:
                raise CheckpointError(f"{reading} is refused: {refused}")
            if child.wait() != 0:
                complaints.seek(0)
                last = (complaints.read().strip().splitlines() or ["no message"])[-1]
                raise CheckpointError(f"{reading} cannot be converted: {last}")
        for target, path in fresh.items():
            sync(path)
            path.replace(target)
            sync(target.parent)
    finally:
        for path in fresh.values():
            path.unlink(missing_ok=True)
