"""The recorded answers, and the checkpoints that gave them."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from handlers.load import load_pipeline
from handlers.pipeline import Pipeline
from model_store.backends.base import BackendChoice
from model_store.derive import derive_manifest
from model_store.version import ModelVersion

HERE = Path(__file__).parent


@cache
def recorded(task: str) -> list[dict[str, Any]]:
    """All cases of one task; see ``tests/parity/tasks``."""
    text = (HERE / f"{task}.json").read_text(encoding="utf-8")
    cases: list[dict[str, Any]] = json.loads(text)["cases"]
    return cases


@cache
def reference_pipeline(name: str) -> Pipeline:
    """One of ``tests/parity/models`` on torch in fp32."""
    folder = HERE / "models" / name
    version = ModelVersion(name, 1, folder, derive_manifest(folder), plain=True)
    return load_pipeline(version, BackendChoice(backend="torch", precision="fp32", threads=1))
