"""How fast each candidate is on this machine: measured in child processes, kept in a file.

Times belong to the machine and to the shape of a model, not to its weights: four fine-tunings of
one base encoder are measured once. A runtime is measured in a process of its own, so that nothing
of it (threads, memory) stays with the server.
"""

import hashlib
import importlib.metadata
import json
import logging
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from contracts.errors import CheckpointError
from model_store.backends.cpu import cpu_summary
from model_store.files import locked, read_json, write_atomically
from model_store.version import ModelVersion

if TYPE_CHECKING:
    from model_store.choose import Candidate

log = logging.getLogger(__name__)

CACHE_VARIABLE = "TUNESERVE_CACHE"
TIMEOUT_S = 120.0
"""For one runtime's child; a machine that needs longer has other troubles."""

SHAPE_KEYS = (
    "model_type",
    "hidden_size",
    "dim",
    "num_hidden_layers",
    "n_layers",
    "num_attention_heads",
    "n_heads",
    "intermediate_size",
    "hidden_dim",
    "embedding_size",
    "hidden_act",
    "activation",
)
"""What of ``config.json`` decides an encoder's speed; vocabularies and heads hardly do."""

GENERATING_KEYS = (
    "d_model",
    "encoder_layers",
    "decoder_layers",
    "encoder_attention_heads",
    "decoder_attention_heads",
    "encoder_ffn_dim",
    "decoder_ffn_dim",
    "activation_function",
    "num_layers",
    "num_decoder_layers",
    "num_heads",
    "d_kv",
    "d_ff",
    "feed_forward_proj",
    "vocab_size",
)
"""As ``SHAPE_KEYS``, of models that generate: their vocabulary is multiplied at every token."""

_PACKAGES = {
    "torch": ("torch", "transformers"),
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime"),
    "openvino": ("openvino",),
}


class Timing(NamedTuple):
    """What was measured of one candidate; infinite where the runtime refused it."""

    lone_s: float
    """Seconds of a lone short row."""
    row_s: float
    """Seconds of one row of a batch."""
    batch_tokens: int | None = None
    """The least token budget that is about as fast as any; None of models that generate."""

    @property
    def cost(self) -> float:
        """The geometric mean of both: what candidates are ranked by."""
        return math.sqrt(self.lone_s * self.row_s)


REFUSED = Timing(math.inf, math.inf)


def user_cache() -> Path:
    """The folder for what this machine can make again: ``TUNESERVE_CACHE``, or the user's cache."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "tuneserve"


def timings_of(
    version: ModelVersion, candidates: Sequence["Candidate"], threads: int
) -> dict[str, float]:
    """The cost of each candidate that runs, by its id; see ``measured``."""
    found = measured(version, candidates, threads)
    return {name: one.cost for name, one in found.items() if math.isfinite(one.cost)}


def measured(
    version: ModelVersion, candidates: Sequence["Candidate"], threads: int, *, again: bool = False
) -> dict[str, Timing]:
    """What each candidate takes, measured now or at an earlier start.

    Args:
        version: what is run.
        candidates: how.
        threads: of each batch.
        again: measure all of them now.

    Returns:
        By candidate id. A candidate whose measurement failed is absent.
    """
    path = user_cache() / "timings.json"
    known = _read(path)
    keys = {each.id: timing_key(version, each, threads) for each in candidates}
    missing = [each for each in candidates if again or keys[each.id] not in known]
    if missing:
        log.info("%s: measuring %s, once", version.id, ", ".join(each.id for each in missing))
        fresh = {keys[name]: one for name, one in measure_all(version, missing, threads).items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.parent):
            known = _read(path) | fresh
            write_atomically(path, json.dumps(known, indent=1, sort_keys=True))
    return {name: known[key] for name, key in keys.items() if key in known}


def batch_tokens_of(version: ModelVersion, candidate: "Candidate", threads: int) -> int | None:
    """The token budget that was measured for a candidate; None where it was not measured."""
    known = _read(user_cache() / "timings.json")
    timing = known.get(timing_key(version, candidate, threads))
    return timing.batch_tokens if timing else None


def timing_key(version: ModelVersion, candidate: "Candidate", threads: int) -> str:
    """What a measurement is valid for: model shape, candidate, package, CPU and threads."""
    path = version.folder / "config.json"
    config = read_json(path) if path.is_file() else {"folder": str(version.folder.resolve())}
    shape = _shape(config, version.manifest.generates)
    versions = []
    for package in _PACKAGES[candidate.backend]:
        try:
            versions.append(f"{package}={importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    parts = [json.dumps(shape, sort_keys=True), *versions, cpu_summary(), str(threads)]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return f"{config.get('model_type', 'onnx')}-{candidate.id}-{threads}t-{digest}"


def _shape(config: dict[str, Any], generates: bool) -> dict[str, Any]:
    keys = (*SHAPE_KEYS, *(GENERATING_KEYS if generates else ()), "folder")
    shape = {key: config[key] for key in keys if key in config}
    # Two models that were joined have a configuration each.
    parts = {
        key: config[key] for key in ("encoder", "decoder") if isinstance(config.get(key), dict)
    }
    return shape | {key: _shape(part, generates) for key, part in parts.items()}


def measure_all(
    version: ModelVersion, candidates: Sequence["Candidate"], threads: int
) -> dict[str, Timing]:
    """Measure candidates in children, one per runtime, one after the other.

    Returns:
        By candidate id: ``REFUSED`` by its runtime, or absent where the child failed or took too
        long, so that the next start tries again.
    """
    timings: dict[str, Timing] = {}
    for backend in dict.fromkeys(each.backend for each in candidates):
        mine = [each for each in candidates if each.backend == backend]
        try:
            timings |= _measure(version, mine, threads)
        except CheckpointError as error:
            log.warning("%s: %s could not be measured: %s", version.id, backend, error)
    return timings


def _measure(
    version: ModelVersion, candidates: Sequence["Candidate"], threads: int
) -> dict[str, Timing]:
    order = {
        "folder": str(version.folder),
        "cache_folder": str(version.cache_folder) if version.cache_folder else None,
        "plain": version.plain,
        "name": version.name,
        "version": version.version,
        "manifest": version.manifest.model_dump(mode="json"),
        "candidates": [[each.backend, each.precision, each.part] for each in candidates],
        "threads": threads,
    }
    command = [sys.executable, "-m", "model_store.measure"]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CheckpointError(f"it took more than {TIMEOUT_S:.0f} s.") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise CheckpointError(lines[-1])
    timings: dict[str, Timing] = {}
    for name, found in json.loads(done.stdout.splitlines()[-1]).items():
        if isinstance(found, str):
            timings[name] = REFUSED
            log.warning("%s: %s is left out: %s", version.id, name, found)
            continue
        timings[name] = Timing(found["lone_s"], found["row_s"], found.get("batch_tokens"))
    return timings


def _read(path: Path) -> dict[str, Timing]:
    try:
        return {str(key): Timing(*timing) for key, timing in read_json(path).items()}
    except (CheckpointError, TypeError, ValueError):
        return {}
