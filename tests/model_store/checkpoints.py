"""Checkpoint folders made by hand: real files, no model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from model_store.manifest import Artifact, Manifest
from tests.models import tiny_tokenizer

CONFIG: dict[str, Any] = {
    "architectures": ["BertForSequenceClassification"],
    "model_type": "bert",
    "max_position_embeddings": 512,
    "id2label": {"0": "no", "1": "yes"},
}


def write_weights(path: Path, value: float = 0.0) -> None:
    save_file({"weight": np.full((4, 4), value, dtype=np.float32)}, path)


def plain_folder(folder: Path, tokenizer: bool = True, **config: Any) -> Path:
    """A plain checkpoint; a keyword of None takes that key out of the configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    if tokenizer:
        tiny_tokenizer(folder, "bert")
        (folder / "tokenizer_config.json").write_text("{}")
    settings = {key: value for key, value in (CONFIG | config).items() if value is not None}
    (folder / "config.json").write_text(json.dumps(settings))
    write_weights(folder / "model.safetensors")
    return folder


def build_version(folder: Path, value: float = 0.0, **fields: Any) -> Manifest:
    """What a builder given to ``Store.publish`` does."""
    (folder / "onnx").mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "onnx" / "model.onnx").write_bytes(b"graph")
    write_weights(folder / "model.safetensors", value)
    artifacts = [
        Artifact(format="torch", precision="fp32", path="model.safetensors"),
        Artifact(format="onnx", precision="fp32", path="onnx/model.onnx", scores={"f1": 0.5}),
    ]
    known: dict[str, Any] = {
        "task": "text-classification",
        "architecture": "BertForSequenceClassification",
        "labels": ["no", "yes"],
        "max_tokens": 512,
        "artifacts": artifacts,
    }
    return Manifest(**(known | fields))
