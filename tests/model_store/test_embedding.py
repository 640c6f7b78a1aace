"""How a checkpoint embeds: read off sentence-transformers' files, or refused with a sentence."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import constants

from contracts.errors import CheckpointError
from contracts.tasks import Task
from model_store.backends.torch import open_torch
from model_store.embedding import OLD_POOLING_KEYS, Embedding
from model_store.export import sample_inputs
from model_store.hashing import verify_hashes
from model_store.sources import open_source
from model_store.store import Store
from model_store.task_graph import OUTPUT_NAMES
from tests.embedders import PREFIX, SIZE, tiny_embedder
from tests.model_store.hub import fake_hub
from tests.models import MAX_TOKENS, tiny_checkpoint


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Embedding]:
    def read_it(**options: Any) -> Embedding:
        folder = tiny_embedder(tmp_path / "it", **options)
        version = open_source("it", str(folder), cache_root=tmp_path / "cache")
        assert version.manifest.task is Task.FEATURE_EXTRACTION
        assert version.manifest.embedding is not None
        return version.manifest.embedding

    return read_it


def test_modules_say_pooling_normalisation_and_prompts(read: Callable[..., Embedding]):
    prompts = {"query": "query: ", "document": ""}
    found = read(settings={"prompts": prompts, "default_prompt_name": "query"})
    assert found == Embedding(
        dimensions=SIZE, normalize=True, prompts=prompts, default_prompt="query"
    )
    assert read(normalize=False).normalize is False


@pytest.mark.parametrize(("key", "mode"), OLD_POOLING_KEYS.items())
def test_the_poolings_of_all_releases_are_known(
    read: Callable[..., Embedding], key: str, mode: str
):
    old = {"word_embedding_dimension": SIZE, "pooling_mode_mean_tokens": False, key: True}
    assert read(pooling=old).pooling == [mode]
    assert read(pooling={"embedding_dimension": SIZE, "pooling_mode": mode}).pooling == [mode]


def test_several_poolings_are_joined_and_a_linear_layer_gives_the_size(
    read: Callable[..., Embedding],
):
    both = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}
    found = read(pooling=both)
    assert (found.pooling, found.dimensions) == (["cls", "mean"], 2 * SIZE)
    layer = {"in_features": SIZE, "out_features": 8, "activation_function": "torch.nn.Tanh"}
    assert read(dense=layer).dimensions == 8


def test_a_folder_without_modules_is_pooled_by_the_mean(tmp_path: Path):
    folder = tiny_checkpoint(tmp_path / "it", "mpnet", Task.FEATURE_EXTRACTION)
    manifest = open_source("it", str(folder), cache_root=tmp_path).manifest
    assert (manifest.task, manifest.labels) == (Task.FEATURE_EXTRACTION, [])
    assert manifest.embedding == Embedding(dimensions=SIZE)
    assert manifest.max_tokens == MAX_TOKENS


def test_a_masked_model_embeds_where_it_was_saved_to_embed_or_is_told_to(tmp_path: Path):
    masked = tiny_checkpoint(tmp_path / "masked", "bert", Task.FILL_MASK)

    def task_of(folder: Path, task: str | None = None) -> Task:
        return open_source("it", str(folder), task=task, cache_root=tmp_path).manifest.task

    assert task_of(masked) is Task.FILL_MASK
    assert task_of(masked, "feature-extraction") is Task.FEATURE_EXTRACTION
    embedder = tiny_embedder(tmp_path / "embedder")
    config = json.loads((embedder / "config.json").read_text())
    config["architectures"] = ["BertForMaskedLM"]
    (embedder / "config.json").write_text(json.dumps(config))
    assert task_of(embedder) is Task.FEATURE_EXTRACTION


def test_texts_are_as_long_as_sentence_transformers_lets_them_be(tmp_path: Path):
    folder = tiny_embedder(tmp_path / "it", encoder={"max_seq_length": 24, "do_lower_case": True})
    manifest = open_source("it", str(folder), cache_root=tmp_path).manifest
    assert manifest.max_tokens == 24
    assert manifest.embedding is not None
    assert manifest.embedding.lowercase


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"more": [f"{PREFIX}.LSTM"]}, "LSTM is not served"),
        ({"more": ["mine.Module"]}, "never run"),
        ({"pooling": {"pooling_mode": "median"}}, "'median'"),
        (
            {
                "pooling": {"pooling_mode": "mean", "include_prompt": False},
                "settings": {"prompts": {"query": "query: "}},
            },
            "include_prompt",
        ),
        ({"settings": {"prompts": {}, "default_prompt_name": "query"}}, "none of its prompts"),
        (
            {"dense": {"in_features": SIZE, "out_features": 8, "activation_function": "mine.F"}},
            "activation mine.F",
        ),
        (
            {"dense": {"in_features": SIZE, "out_features": 8, "use_residual": True}},
            "only a linear layer",
        ),
    ],
    ids=["module", "code", "pooling", "prompt", "default", "activation", "residual"],
)
def test_what_cannot_be_run_is_refused(
    read: Callable[..., Embedding], options: dict[str, Any], said: str
):
    with pytest.raises(CheckpointError, match=said):
        read(**options)


def test_a_broken_list_of_modules_is_named(tmp_path: Path):
    folder = tiny_embedder(tmp_path / "it")
    (folder / "modules.json").write_text('{"type": 1}')
    with pytest.raises(CheckpointError, match=r"modules\.json is no list of modules"):
        open_source("it", str(folder), cache_root=tmp_path)


def test_a_graph_that_somebody_else_exported_is_refused(tmp_path: Path):
    folder = tiny_embedder(tmp_path / "it")
    (folder / "model.safetensors").rename(folder / "model.onnx")
    with pytest.raises(CheckpointError, match=r"add model\.safetensors"):
        open_source("it", str(folder), cache_root=tmp_path)


def test_modules_come_from_the_hub_and_from_urls_and_other_folders_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    layer = {"in_features": SIZE, "out_features": 8, "activation_function": "torch.nn.Tanh"}
    folder = tiny_embedder(tmp_path / "it", dense=layer)
    for other in ("onnx", "openvino", "1_Pooling"):
        (folder / other).mkdir(exist_ok=True)
        (folder / other / "pytorch_model.bin").write_bytes(b"")
    (folder / "onnx" / "config.json").write_text("{}")
    wanted = {"1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors"}

    def inside(place: Path) -> set[str]:
        paths = (path.relative_to(place) for path in place.rglob("*") if path.is_file())
        return {path.as_posix() for path in paths if len(path.parts) > 1}

    with fake_hub("acme/embed", folder) as (endpoint, _):
        template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        found = open_source("it", "acme/embed", cache_root=tmp_path / "cache")
        assert inside(found.folder) == wanted
        assert found.manifest.embedding is not None
        assert found.manifest.embedding.dimensions == 8
    copied = open_source("it", folder.as_uri(), cache_root=tmp_path / "cache")
    assert inside(copied.folder) == wanted


def test_the_store_keeps_the_modules_and_their_hashes(tmp_path: Path):
    from model_store.copying import copy_checkpoint

    layer = {"in_features": SIZE, "out_features": 8, "activation_function": "torch.nn.Tanh"}
    folder = tiny_embedder(tmp_path / "it", dense=layer, settings={"prompts": {}})
    source = open_source("it", str(folder), cache_root=tmp_path)
    version = Store(tmp_path / "store").publish("it", lambda to: copy_checkpoint(source, to))
    kept = ["modules.json", "1_Pooling/config.json", "2_Dense/model.safetensors"]
    assert set(kept) < set(version.manifest.files)
    verify_hashes(version)
    inputs = sample_inputs(200, 3, 12)
    first, second = (open_torch(each.folder, each.manifest.task) for each in (source, version))
    np.testing.assert_array_equal(first.run(inputs)["embeddings"], second.run(inputs)["embeddings"])


def test_an_export_is_made_anew_when_the_pooling_changes(tmp_path: Path):
    folder = tiny_embedder(tmp_path / "it")
    first = open_source("it", str(folder), cache_root=tmp_path).cache_folder
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')
    assert open_source("it", str(folder), cache_root=tmp_path).cache_folder != first


@pytest.mark.parametrize("mode", OLD_POOLING_KEYS.values())
def test_every_pooling_reads_a_row_without_its_padding(tmp_path: Path, mode: str):
    pooling = {"embedding_dimension": SIZE, "pooling_mode": mode}
    backend = open_torch(tiny_embedder(tmp_path, pooling=pooling), Task.FEATURE_EXTRACTION)
    inputs = sample_inputs(200, 4, 20)
    [name] = OUTPUT_NAMES[Task.FEATURE_EXTRACTION]
    together = backend.run(inputs)[name]
    assert together.shape == (4, SIZE)
    for index, mask in enumerate(inputs["attention_mask"]):
        alone = {key: array[index : index + 1, : mask.sum()] for key, array in inputs.items()}
        assert np.abs(backend.run(alone)[name][0] - together[index]).max() < 1e-5
