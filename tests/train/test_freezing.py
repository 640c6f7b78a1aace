"""Freezing by part and by layer, for every architecture's own names."""

from pathlib import Path
from typing import Any

import pytest

from contracts.errors import CheckpointError
from contracts.tasks import Task
from tests.models import ARCHITECTURES, tiny_checkpoint
from train.freezing import depth, freeze, layers, split_parts


def load(folder: Path, architecture: str) -> Any:
    from transformers import AutoModelForSequenceClassification

    tiny_checkpoint(folder, architecture, Task.TEXT_CLASSIFICATION)
    return AutoModelForSequenceClassification.from_pretrained(folder)


def trained(model: Any) -> set[str]:
    return {name for name, value in model.named_parameters() if value.requires_grad}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_layers_have_one_name_in_every_architecture(architecture: str, tmp_path: Path) -> None:
    model = load(tmp_path, architecture)
    every = trained(model)
    assert layers(model) == 2
    freeze(model, split_parts("embeddings, encoder.0-1"))
    left = trained(model)
    assert not any(".embeddings." in name for name in left)
    assert not any(".0." in name or ".1." in name for name in left)
    assert any("classifier" in name for name in left)
    freeze(model, ["encoder"])
    assert any("embeddings." in name for name in trained(model))
    freeze(model, [])
    assert trained(model) == every
    if architecture == "albert":
        with pytest.raises(CheckpointError, match=r"share their weights; name encoder\.0-1"):
            freeze(model, ["encoder.0"])
    else:
        freeze(model, ["encoder.1"])
        frozen = every - trained(model)
        assert frozen == {name for name in every if ".1." in name}
        assert frozen


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_depth_counts_from_the_head_down(architecture: str, tmp_path: Path) -> None:
    model = load(tmp_path, architecture)
    for name, _ in model.named_parameters():
        if "classifier" in name:
            assert depth(model, name) == 0
        elif "word_embeddings" in name or "tok_embeddings" in name:
            assert depth(model, name) == 3
        elif ".0." in name:
            assert depth(model, name) == (1 if architecture == "albert" else 2)
        elif ".1." in name:
            assert depth(model, name) == 1


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ("encoder.1-2", r"no range of layers; the model has encoder\.0-1"),
        ("encoder.1-0", "no range of layers"),
        ("embedings", r'no part "embedings"; it has .*embeddings'),
        ("bert, classifier", "nothing is left to train"),
    ],
)
def test_a_part_that_cannot_be_frozen_is_refused(part: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=reason):
        freeze(load(tmp_path, "bert"), split_parts(part))
