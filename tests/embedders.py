"""Tiny checkpoints that embed, in the layout that sentence-transformers writes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contracts.tasks import Task
from tests.models import tiny_checkpoint

PREFIX = "sentence_transformers.models"
SIZE = 32
"""Of a tiny model's token vectors."""


def tiny_embedder(
    folder: Path,
    architecture: str = "bert",
    *,
    pooling: Mapping[str, Any] | None = None,
    dense: Mapping[str, Any] | None = None,
    normalize: bool = True,
    settings: Mapping[str, Any] | None = None,
    encoder: Mapping[str, Any] | None = None,
    more: Sequence[str] = (),
) -> Path:
    """Write an encoder with its modules.

    Args:
        folder: made if it is not there.
        architecture: see ``tests.models.ARCHITECTURES``.
        pooling: ``1_Pooling/config.json``; default: the mean.
        dense: ``2_Dense/config.json`` of a seeded linear layer; None: there is none.
        normalize: whether a ``Normalize`` follows.
        settings: ``config_sentence_transformers.json``.
        encoder: ``sentence_bert_config.json``.
        more: types of modules behind all others.
    """
    tiny_checkpoint(folder, architecture, Task.FEATURE_EXTRACTION)
    kinds = ["Transformer", "Pooling"]
    _write(folder / "1_Pooling", pooling or {"embedding_dimension": SIZE, "pooling_mode": "mean"})
    if dense is not None:
        kinds.append("Dense")
        _write(folder / "2_Dense", dense)
        _write_layer(folder / "2_Dense", dense["in_features"], dense["out_features"])
    if normalize:
        kinds.append("Normalize")
    types = [f"{PREFIX}.{kind}" for kind in kinds] + list(more)
    modules = [
        {
            "idx": index,
            "name": str(index),
            "path": f"{index}_{kind.rsplit('.', 1)[1]}" if index else "",
            "type": kind,
        }
        for index, kind in enumerate(types)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    for name, content in (
        ("config_sentence_transformers.json", settings),
        ("sentence_bert_config.json", encoder),
    ):
        if content is not None:
            (folder / name).write_text(json.dumps(content))
    return folder


def _write(folder: Path, config: Mapping[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))


def _write_layer(folder: Path, inputs: int, outputs: int) -> None:
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(outputs, inputs, generator=generator)
    bias = torch.randn(outputs, generator=generator)
    save_file({"linear.weight": weight, "linear.bias": bias}, folder / "model.safetensors")
