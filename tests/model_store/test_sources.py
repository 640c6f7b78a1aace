"""Checkpoints from folders, URLs and the hub: what is read off them, and what is refused."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from safetensors.numpy import save_file

from contracts.errors import CheckpointError
from contracts.tasks import Task
from model_store.hashing import verify_hashes
from model_store.sources import open_source
from model_store.store import Store
from model_store.version import ModelVersion
from tests.model_store.checkpoints import build_version, plain_folder, write_weights
from tests.model_store.hub import fake_hub
from tests.models import ARCHITECTURES, LABELS, MAX_TOKENS, tiny_checkpoint


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., ModelVersion]:
    def open_it(reference: object, **options: Any) -> ModelVersion:
        return open_source("mine", str(reference), cache_root=tmp_path / "cache", **options)

    return open_it


Opened = Callable[..., ModelVersion]


# --- what is read off a folder


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_tiny_checkpoint_of_every_architecture_is_described(
    tmp_path: Path, opened: Opened, architecture: str
) -> None:
    folder = tiny_checkpoint(tmp_path / "it", architecture, Task.TEXT_CLASSIFICATION)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    version = opened(folder)
    manifest = version.manifest
    assert manifest.task is Task.TEXT_CLASSIFICATION
    assert manifest.labels == list(LABELS[Task.TEXT_CLASSIFICATION])
    assert manifest.max_tokens == MAX_TOKENS
    assert (version.plain, version.version, version.folder) == (True, 1, folder)
    artifact = version.artifact("torch", "fp32")
    assert artifact is not None
    assert artifact.bytes == (folder / "model.safetensors").stat().st_size
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    verify_hashes(version)


@pytest.mark.parametrize(
    ("architecture", "config", "task", "expected"),
    [
        ("BertForSequenceClassification", {}, None, "text-classification"),
        ("RobertaForTokenClassification", {}, None, "token-classification"),
        ("BertForQuestionAnswering", {}, None, "question-answering"),
        ("BertForTokenClassification", {}, "summarization", "summarization"),
        (
            "BertForTokenClassification",
            {"tuneserve_task": "summarization"},
            None,
            "summarization",
        ),
        (
            "BertForTokenClassification",
            {"tuneserve_task": "summarization"},
            "token-classification",
            "token-classification",
        ),
    ],
)
def test_the_task_comes_from_the_architecture_or_by_name(
    tmp_path: Path,
    opened: Opened,
    architecture: str,
    config: dict[str, str],
    task: str | None,
    expected: str,
) -> None:
    folder = plain_folder(tmp_path / "it", architectures=[architecture], **config)
    manifest = opened(folder, task=task).manifest
    assert manifest.task == expected
    assert manifest.labels == ([] if expected == "question-answering" else ["no", "yes"])


@pytest.mark.parametrize(
    ("config", "labels"),
    [
        ({"id2label": {"1": "b", "0": "a", "10": "k"} | {str(i): "x" for i in range(2, 10)}}, None),
        ({"id2label": None}, ["LABEL_0", "LABEL_1"]),
        ({"id2label": None, "num_labels": 3}, ["LABEL_0", "LABEL_1", "LABEL_2"]),
        ({"id2label": {"0": "only"}}, ["only"]),
    ],
)
def test_labels_are_in_index_order(
    tmp_path: Path, opened: Opened, config: dict[str, Any], labels: list[str] | None
) -> None:
    folder = plain_folder(tmp_path / "it", **config)
    assert opened(folder).manifest.labels == (labels or ["a", "b", *"xxxxxxxx", "k"])


@pytest.mark.parametrize(
    "problem_type",
    [None, "single_label_classification", "multi_label_classification", "regression"],
)
def test_the_problem_type_is_kept(tmp_path: Path, opened: Opened, problem_type: str | None) -> None:
    folder = plain_folder(tmp_path / "it", problem_type=problem_type)
    assert opened(folder).manifest.problem_type == problem_type


@pytest.mark.parametrize(
    ("config", "model_max_length", "max_tokens"),
    [
        ({"max_position_embeddings": 512}, None, 512),
        ({"max_position_embeddings": 512}, 128, 128),
        ({"max_position_embeddings": 512}, 1e30, 512),
        ({"max_position_embeddings": 512}, 4096, 512),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 1e30, 512),
        ({"model_type": "xlm-roberta", "max_position_embeddings": 514}, None, 512),
        ({"model_type": "camembert", "max_position_embeddings": 514}, None, 512),
        ({"model_type": "mpnet", "max_position_embeddings": 514}, 512, 512),
        ({"model_type": "roberta", "max_position_embeddings": 130}, None, 128),
        ({"model_type": "longformer", "max_position_embeddings": 4098}, 1e30, 4096),
        ({"model_type": "deberta-v2", "max_position_embeddings": 512}, 1e30, 512),
        ({"model_type": "modernbert", "max_position_embeddings": 8192}, 8192, 8192),
        ({"model_type": "xlnet", "max_position_embeddings": None}, 1e30, 512),
        ({"model_type": "xlnet", "max_position_embeddings": -1}, 300, 300),
        ({"model_type": "gpt2", "max_position_embeddings": None, "n_positions": 1024}, 1e30, 1024),
    ],
)
def test_the_longest_row_is_what_model_and_tokenizer_both_hold(
    tmp_path: Path,
    opened: Opened,
    config: dict[str, Any],
    model_max_length: float | None,
    max_tokens: int,
) -> None:
    folder = plain_folder(tmp_path / "it", **config)
    if model_max_length is not None:
        settings = json.dumps({"model_max_length": model_max_length})
        (folder / "tokenizer_config.json").write_text(settings)
    assert opened(folder).manifest.max_tokens == max_tokens


def test_positions_of_the_roberta_family_are_those_of_transformers(tmp_path: Path) -> None:
    """The model really takes ``max_tokens`` tokens, and not one more."""
    import torch
    from transformers import AutoModelForSequenceClassification

    for architecture in ("bert", "roberta", "mpnet", "xlm-roberta"):
        folder = tiny_checkpoint(tmp_path / architecture, architecture, Task.TEXT_CLASSIFICATION)
        (folder / "tokenizer_config.json").write_text("{}")
        version = open_source(architecture, str(folder), cache_root=tmp_path / "cache")
        model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        limit = version.manifest.max_tokens
        with torch.no_grad():
            model(input_ids=torch.full((1, limit), 7))
            with pytest.raises((IndexError, RuntimeError)):
                model(input_ids=torch.full((1, limit + 1), 7))


def test_a_tokenizer_from_another_folder_is_taken(tmp_path: Path, opened: Opened) -> None:
    folder = plain_folder(tmp_path / "it", tokenizer=False)
    other = plain_folder(tmp_path / "other")
    version = opened(folder, tokenizer=other)
    assert version.tokenizer_folder == other
    with pytest.raises(CheckpointError, match=r"tokenizer folder .* does not exist"):
        opened(folder, tokenizer=tmp_path / "nowhere")


def test_a_sharded_checkpoint_is_one_artifact(tmp_path: Path, opened: Opened) -> None:
    folder = sharded(tmp_path / "it")
    version = opened(folder)
    artifact = version.artifact("torch", "fp32")
    assert artifact is not None
    assert artifact.path == "model.safetensors.index.json"
    assert artifact.bytes == sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def test_an_onnx_folder_without_safetensors_is_an_onnx_artifact(
    tmp_path: Path, opened: Opened
) -> None:
    folder = plain_folder(tmp_path / "it")
    (folder / "model.safetensors").unlink()
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"graph")
    [artifact] = opened(folder).manifest.artifacts
    assert (artifact.format, artifact.path, artifact.bytes) == ("onnx", "onnx/model.onnx", 5)


def test_the_export_cache_changes_with_the_checkpoint(tmp_path: Path, opened: Opened) -> None:
    folder = plain_folder(tmp_path / "it")
    first = opened(folder).cache_folder
    assert opened(folder).cache_folder == first
    save_file({"weight": np.ones((5, 5), dtype=np.float32)}, folder / "model.safetensors")
    second = opened(folder).cache_folder
    assert second != first
    assert second is not None
    assert second.is_relative_to(tmp_path / "cache")


def test_a_version_of_a_store_can_be_opened_by_its_folder(tmp_path: Path, opened: Opened) -> None:
    published = Store(tmp_path / "store").publish("intent", build_version)
    version = opened(published.folder)
    assert (version.id, version.plain) == ("mine@1", False)
    assert version.manifest == published.manifest


# --- what is refused


def sharded(folder: Path) -> Path:
    plain_folder(folder)
    (folder / "model.safetensors").unlink()
    weight_map = {}
    for number in (1, 2):
        name = f"model-0000{number}-of-00002.safetensors"
        write_weights(folder / name)
        weight_map[f"weight{number}"] = name
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def rename_weights(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "model.safetensors").rename(folder / name)


def write(name: str, content: dict[str, Any]) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(json.dumps(content))


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])


def lose_a_shard(folder: Path) -> None:
    sharded(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


def cut_a_shard(folder: Path) -> None:
    sharded(folder)
    path = folder / "model-00001-of-00002.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def escape_with_a_shard(folder: Path) -> None:
    sharded(folder)
    write("model.safetensors.index.json", {"weight_map": {"w": "../other.safetensors"}})(folder)


def only_an_adapter(folder: Path) -> None:
    rename_weights("adapter_model.safetensors")(folder)
    write("adapter_config.json", {"peft_type": "LORA"})(folder)


def only_an_adapter_without_config(folder: Path) -> None:
    only_an_adapter(folder)
    (folder / "config.json").unlink()


def change_config(**changes: Any) -> Callable[[Path], object]:
    return lambda folder: plain_folder(folder, **changes)


REFUSALS: dict[str, tuple[Callable[[Path], object], str]] = {
    "bin": (rename_weights("pytorch_model.bin"), "only pickles .*tuneserve convert"),
    "pt": (rename_weights("model.pt"), "only pickles .*tuneserve convert"),
    "pth": (rename_weights("model.pth"), "only pickles .*tuneserve convert"),
    "ckpt": (rename_weights("last.ckpt"), "only pickles .*tuneserve convert"),
    "trainer state": (rename_weights("optimizer.pt"), "no weights"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "no weights"),
    "stray": (rename_weights("weights.safetensors"), r"has weights\.safetensors but neither"),
    "cut short": (cut, r"model\.safetensors is cut short or damaged"),
    "not safetensors": (
        lambda f: (f / "model.safetensors").write_bytes(b"\x80\x02}q\x00." * 9),
        r"model\.safetensors is cut short or damaged",
    ),
    "no tensors": (
        lambda f: save_file({}, f / "model.safetensors"),
        r"model\.safetensors holds no tensors",
    ),
    "lost shard": (lose_a_shard, r"00002-of-00002\.safetensors is missing"),
    "cut shard": (cut_a_shard, r"00001-of-00002\.safetensors is cut short"),
    "escaping shard": (escape_with_a_shard, "not a file beside it"),
    "empty index": (
        lambda f: (sharded(f), write("model.safetensors.index.json", {})(f)),
        "has no weight_map",
    ),
    "adapter": (only_an_adapter, "only an adapter .*merge"),
    "adapter alone": (only_an_adapter_without_config, "only an adapter .*merge"),
    "no config": (lambda f: (f / "config.json").unlink(), r"config\.json is missing"),
    "bad config": (lambda f: (f / "config.json").write_text("{"), "is not valid JSON"),
    "remote model": (
        change_config(auto_map={"AutoModel": "own.Model"}),
        r"config\.json asks for code .*auto_map",
    ),
    "remote tokenizer": (
        write("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["own.T", None]}}),
        r"tokenizer_config\.json asks for code .*auto_map",
    ),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "--tokenizer FOLDER"),
    "seq2seq": (
        change_config(
            is_encoder_decoder=True,
            architectures=["LEDForConditionalGeneration"],
            model_type="led",
        ),
        "led is no sequence-to-sequence model that is served",
    ),
    "no architecture": (change_config(architectures=None), "exactly one architecture"),
    "two architectures": (
        change_config(architectures=["AForTokenClassification", "BForQuestionAnswering"]),
        "exactly one architecture",
    ),
    "no served head": (
        change_config(architectures=["BertForPreTraining"]),
        "BertForPreTraining has no head that is served",
    ),
    "wrong task": (change_config(tuneserve_task="summarization"), "cannot do summarization"),
    "unknown task": (change_config(tuneserve_task="chess"), "'chess' is no task; choose from"),
    "gap in labels": (change_config(id2label={"0": "a", "2": "c"}), "id2label"),
    "labels by name": (change_config(id2label={"a": "0"}), "id2label"),
    "problem type": (change_config(problem_type="hard"), "problem_type 'hard' is none of"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_served_is_refused_in_one_sentence(
    tmp_path: Path, opened: Opened, case: str
) -> None:
    folder = plain_folder(tmp_path / "it")
    opened(folder)
    change, sentence = REFUSALS[case]
    change(folder)
    with pytest.raises(CheckpointError, match=sentence) as caught:
        opened(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value) or case == "unknown task"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, opened: Opened) -> None:
    for reference in (str(tmp_path / "nowhere"), "./nowhere", "~/no/where/at/all"):
        with pytest.raises(CheckpointError, match="no checkpoint folder"):
            opened(reference)


# --- URLs


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    system = fsspec.filesystem("memory")
    yield system
    system.rm("/", recursive=True)


def test_a_memory_url_is_downloaded_once(
    tmp_path: Path, opened: Opened, memory: fsspec.AbstractFileSystem
) -> None:
    memory.put(str(plain_folder(tmp_path / "it")) + "/", "/models/it/", recursive=True)
    for unwanted in ("training_args.bin", "modeling.py", "checkpoint-1/model.safetensors"):
        memory.pipe(f"/models/it/{unwanted}", b"no")
    version = opened("memory://models/it")
    assert version.folder.is_relative_to(tmp_path / "cache")
    assert {path.name for path in version.folder.iterdir()} == {
        path.name for path in (tmp_path / "it").iterdir()
    }
    assert opened("memory://models/it").folder == version.folder
    memory.pipe("/models/it/config.json", memory.cat("/models/it/config.json") + b" ")
    assert opened("memory://models/it").folder != version.folder


def test_a_file_url_is_downloaded(tmp_path: Path, opened: Opened) -> None:
    folder = plain_folder(tmp_path / "it")
    version = opened(folder.as_uri())
    assert version.folder != folder
    assert version.manifest == opened(version.folder).manifest


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("memory://nothing/here", "has no checkpoint"),
        ("nonsense://x/y", "cannot be opened"),
    ],
)
def test_a_url_that_leads_nowhere_is_refused(opened: Opened, url: str, sentence: str) -> None:
    with pytest.raises(CheckpointError, match=sentence):
        opened(url)


def test_remote_pickles_are_not_downloaded(
    tmp_path: Path, opened: Opened, memory: fsspec.AbstractFileSystem
) -> None:
    folder = plain_folder(tmp_path / "it")
    rename_weights("pytorch_model.bin")(folder)
    memory.put(str(folder) + "/", "/models/bin/", recursive=True)
    with pytest.raises(CheckpointError, match="pickles are not downloaded"):
        opened("memory://models/bin")
    assert not list((tmp_path / "cache").rglob("*.bin"))


# --- the hub


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, list[str]]]:
    from huggingface_hub import constants

    folder = plain_folder(tmp_path / "origin")
    (folder / "pytorch_model.bin").write_bytes(b"no")
    (folder / "modeling_own.py").write_text("raise SystemExit")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "config.json").write_text("{}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with fake_hub("acme/intent", folder) as (endpoint, fetched):
        template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield folder, fetched


def test_a_hub_model_is_downloaded_without_pickles_and_code(
    hub: tuple[Path, list[str]], opened: Opened
) -> None:
    _, fetched = hub
    version = opened("acme/intent")
    wanted = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert set(fetched) == wanted
    assert {path.name for path in version.folder.iterdir()} == wanted
    assert version.manifest.labels == ["no", "yes"]
    opened("acme/intent")
    assert len(fetched) == len(wanted)


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        ("acme/intent@v9", "has no revision 'v9' on the hub"),
        ("acme/other", "neither a folder here nor a model on the hub"),
    ],
)
def test_a_hub_model_that_is_not_there_is_refused(
    hub: tuple[Path, list[str]], opened: Opened, reference: str, sentence: str
) -> None:
    with pytest.raises(CheckpointError, match=sentence) as caught:
        opened(reference)
    assert "\n" not in str(caught.value)


def test_a_hub_that_cannot_be_reached_is_named(
    hub: tuple[Path, list[str]], opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    opened("acme/intent")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert opened("acme/intent").manifest.labels == ["no", "yes"]
    with pytest.raises(CheckpointError, match="hub cannot be reached"):
        opened("acme/another")
