"""Pickled weights become safetensors; whatever else a pickle holds is refused and never run."""

import json
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from contracts.errors import CheckpointError
from model_store import convert_child
from model_store.convert import convert
from model_store.sources import open_source
from tests.model_store.checkpoints import plain_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = plain_folder(tmp_path / "it")
    (folder / "model.safetensors").unlink()
    return folder


class Malicious:
    """Unpickling it runs a command."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def test_tensors_are_kept_by_name_type_and_value(folder: Path) -> None:
    torch.manual_seed(0)
    tied = torch.randn(6, 4)
    state = OrderedDict(
        {
            "embedding": tied,
            "decoder": tied,
            "slice": tied[2:4],
            "turned": tied.t(),
            "half": torch.randn(3).half(),
            "brain": torch.randn(3).bfloat16(),
            "counts": torch.arange(3),
            "trained": torch.nn.Parameter(torch.randn(2)),
            "scalar": torch.tensor(2.5),
        }
    )
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "training_args.bin").write_bytes(b"another pickle")
    written = convert(folder)
    assert written == folder / "model.safetensors"
    converted = load_file(written)
    assert set(converted) == set(state)
    for name, tensor in state.items():
        assert converted[name].dtype == tensor.dtype
        assert torch.equal(converted[name], tensor), name
    with safe_open(written, framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]
    assert open_source("it", str(folder), cache_root=folder.parent / "cache").plain


def test_a_malicious_pickle_is_refused_and_its_code_is_not_run(folder: Path) -> None:
    mark = folder / "owned"
    torch.save({"weight": torch.zeros(2), "extra": Malicious(mark)}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin is refused: .* code"):
        convert(folder)
    assert not mark.exists()
    assert not list(folder.glob("*.safetensors"))
    torch.load(folder / "pytorch_model.bin", weights_only=False)
    assert mark.exists(), "the pickle was not malicious, so this test proved nothing"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"weight": torch.zeros(2), "epoch": 3}, "'epoch' is int, no tensor"),
        ({"state_dict": {"weight": torch.zeros(2)}}, "'state_dict' is dict, no tensor"),
        ([torch.zeros(2)], "no table of tensors"),
        ({}, "no table of tensors"),
    ],
)
def test_anything_but_a_table_of_tensors_is_refused(
    folder: Path, content: object, sentence: str
) -> None:
    torch.save(content, folder / "model.pt")
    with pytest.raises(convert_child.Refused, match=sentence):
        convert_child.convert(str(folder / "model.pt"), str(folder / "model.safetensors"))
    assert not list(folder.glob("*.safetensors"))


def test_a_file_of_the_oldest_format_is_read(folder: Path) -> None:
    source, target = folder / "pytorch_model.bin", folder / "model.safetensors"
    state = {"weight": torch.arange(4.0)}
    torch.save(state, source, _use_new_zipfile_serialization=False)
    convert_child.convert(str(source), str(target))
    assert torch.equal(load_file(target)["weight"], state["weight"])


def test_a_damaged_file_is_named_in_one_sentence(folder: Path) -> None:
    path = folder / "pytorch_model.bin"
    torch.save({"weight": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin (cannot be|is)") as caught:
        convert(folder)
    assert "\n" not in str(caught.value)
    assert not list(folder.glob("*.safetensors"))


def test_shards_stay_shards(folder: Path, tmp_path: Path) -> None:
    weight_map = {}
    for number in (1, 2):
        name = f"pytorch_model-0000{number}-of-00002.bin"
        torch.save({f"weight{number}": torch.full((2,), float(number))}, folder / name)
        weight_map[f"weight{number}"] = name
    index = {"metadata": {"total_size": 16}, "weight_map": weight_map}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    target = tmp_path / "converted"
    written = convert(folder, target)
    assert written == target / "model.safetensors.index.json"
    assert json.loads(written.read_text()) == {
        "metadata": {"total_size": 16},
        "weight_map": {
            "weight1": "model-00001-of-00002.safetensors",
            "weight2": "model-00002-of-00002.safetensors",
        },
    }
    second = load_file(target / "model-00002-of-00002.safetensors")
    assert second["weight2"].tolist() == [2.0, 2.0]
    assert not list(folder.glob("*.safetensors"))
    version = open_source("it", str(target), cache_root=tmp_path / "cache")
    assert version.manifest.labels == ["no", "yes"]


def test_a_lost_shard_is_named(folder: Path) -> None:
    index = {"weight_map": {"weight": "pytorch_model-00001-of-00001.bin"}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"pytorch_model-00001-of-00001\.bin is missing"):
        convert(folder)


def test_there_must_be_one_thing_to_convert(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"found: none"):
        convert(folder)
    for name in ("a.pt", "b.pt"):
        torch.save({"weight": torch.zeros(2)}, folder / name)
    with pytest.raises(CheckpointError, match=r"found: a\.pt, b\.pt"):
        convert(folder)
    (folder / "model.safetensors").write_bytes(b"here")
    with pytest.raises(CheckpointError, match=r"model\.safetensors exists already"):
        convert(folder)
    with pytest.raises(CheckpointError, match="is not a folder"):
        convert(folder / "nowhere")
