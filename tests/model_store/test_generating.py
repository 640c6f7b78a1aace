"""What a generating checkpoint's manifest says, read off its configuration."""

from pathlib import Path
from typing import Any

import pytest

from contracts.errors import CheckpointError
from contracts.tasks import Task
from model_store.backends.torch import auto_class
from model_store.copying import copied_files
from model_store.derive import derive_manifest
from model_store.files import read_json
from model_store.hashing import verify_hashes
from model_store.manifest import Artifact, Manifest
from model_store.sources import open_plain
from model_store.store import Store
from tests.model_store.checkpoints import plain_folder, write_weights
from tests.seq2seq_models import ARCHITECTURES, MAX_TOKENS, tiny_seq2seq

BART: dict[str, Any] = {
    "architectures": ["BartForConditionalGeneration"],
    "model_type": "bart",
    "is_encoder_decoder": True,
    "max_position_embeddings": 256,
    "decoder_start_token_id": 2,
    "eos_token_id": 2,
    "num_beams": 4,
    "forced_bos_token_id": None,
    "forced_eos_token_id": 2,
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_gets_a_manifest_that_generates(
    architecture: str, tmp_path: Path
) -> None:
    manifest = derive_manifest(tiny_seq2seq(tmp_path, architecture))
    assert manifest.generates
    assert manifest.labels == []
    marian = architecture == "marian"
    assert manifest.task is (Task.TRANSLATION if marian else Task.TEXT2TEXT_GENERATION)
    assert manifest.max_tokens == MAX_TOKENS
    defaults = manifest.generation_defaults
    assert defaults["decoder_start_token_id"] == 0
    assert defaults["eos_token_id"] == 2
    assert defaults["pad_token_id"] == 1
    assert "transformers_version" not in defaults
    assert None not in defaults.values()
    # The table of a BERT here is longer by two than the others'; a RoBERTa's begins after the pad.
    longer = 2 if architecture == "bert2bert" else 0
    relative = architecture in ("t5", "mt5")
    assert defaults.get("max_target_tokens") == (None if relative else MAX_TOKENS + longer)


@pytest.mark.parametrize("task", ["summarization", "translation", "text2text-generation"])
def test_the_task_is_what_is_said(task: str, tmp_path: Path) -> None:
    folder = plain_folder(tmp_path, **BART, tuneserve_task=task)
    assert derive_manifest(folder).task == task
    other = "translation" if task != "translation" else "summarization"
    assert derive_manifest(folder, task=other).task == other
    assert auto_class(folder, Task(task)) == "AutoModelForSeq2SeqLM"


def test_an_extractive_summariser_is_still_a_token_classifier(tmp_path: Path) -> None:
    folder = plain_folder(
        tmp_path,
        architectures=["BertForTokenClassification"],
        tuneserve_task="summarization",
        id2label={"0": "keep"},
    )
    manifest = derive_manifest(folder)
    assert not manifest.generates
    assert auto_class(folder, manifest.task) == "AutoModelForTokenClassification"


def test_the_configuration_decides_where_there_is_no_generation_config(tmp_path: Path) -> None:
    defaults = derive_manifest(plain_folder(tmp_path, **BART)).generation_defaults
    assert defaults["num_beams"] == 4
    assert defaults["forced_eos_token_id"] == 2
    assert "forced_bos_token_id" not in defaults


def test_the_generation_config_decides_alone_but_for_special_tokens(tmp_path: Path) -> None:
    folder = plain_folder(tmp_path, **BART)
    (folder / "generation_config.json").write_text(
        '{"num_beams": 2, "eos_token_id": [2, 5], "do_sample": null, "_from_model_config": true}'
    )
    assert derive_manifest(folder).generation_defaults == {
        "num_beams": 2,
        "eos_token_id": [2, 5],
        "decoder_start_token_id": 2,
        "max_target_tokens": 256,
    }


def test_relative_positions_leave_the_limit_to_the_tokenizer(tmp_path: Path) -> None:
    t5 = BART | {"architectures": ["T5ForConditionalGeneration"], "model_type": "t5"}
    folder = plain_folder(tmp_path, **t5, n_positions=100)
    assert derive_manifest(folder).max_tokens == 512
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 900}')
    assert derive_manifest(folder).max_tokens == 900


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model_type": "led"}, "led is no sequence-to-sequence model that is served"),
        ({"architectures": ["BartForSequenceClassification"]}, "decodes nothing"),
        ({"decoder_start_token_id": None}, "names no decoder_start_token_id"),
        ({"tuneserve_task": "question-answering"}, "cannot do question-answering"),
    ],
)
def test_what_cannot_generate_is_refused(
    change: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=sentence):
        derive_manifest(plain_folder(tmp_path, **(BART | change)))


def test_two_graphs_without_weights_are_an_artifact(tmp_path: Path) -> None:
    folder = plain_folder(tmp_path, **BART)
    (folder / "model.safetensors").unlink()
    (folder / "onnx").mkdir()
    (folder / "onnx" / "decoder.onnx").write_bytes(b"decoder")
    with pytest.raises(CheckpointError, match="has no weights"):
        derive_manifest(folder)
    (folder / "onnx" / "encoder.onnx").write_bytes(b"encoder")
    (artifact,) = derive_manifest(folder).artifacts
    assert (artifact.path, artifact.encoder) == ("onnx/decoder.onnx", "onnx/encoder.onnx")
    assert artifact.bytes == 14


def build(folder: Path) -> Manifest:
    (folder / "onnx").mkdir()
    plain_folder(folder, **BART)
    write_weights(folder / "model.safetensors")
    for name in ("decoder", "encoder"):
        (folder / "onnx" / f"{name}.onnx").write_bytes(name.encode())
    graphs = Artifact(
        format="onnx", precision="fp32", path="onnx/decoder.onnx", encoder="onnx/encoder.onnx"
    )
    derived = derive_manifest(folder)
    return derived.model_copy(update={"artifacts": [*derived.artifacts, graphs]})


def test_both_graphs_are_hashed_and_both_are_needed(tmp_path: Path) -> None:
    version = Store(tmp_path).publish("bart", build)
    verify_hashes(version)
    graphs = version.artifact("onnx", "fp32")
    assert graphs is not None
    assert graphs.bytes == 14
    (version.folder / "onnx" / "encoder.onnx").write_bytes(b"changed")
    with pytest.raises(CheckpointError, match="is not the file that was published"):
        verify_hashes(version)
    (version.folder / "onnx" / "encoder.onnx").unlink()
    with pytest.raises(CheckpointError, match=r"encoder\.onnx is missing"):
        Store(tmp_path).resolve("bart")


def test_a_plain_generating_folder_is_copied_with_its_generation_config(tmp_path: Path) -> None:
    folder = plain_folder(tmp_path / "bart", **BART)
    (folder / "generation_config.json").write_text("{}")
    version = open_plain("bart", folder, cache_root=tmp_path)
    assert copied_files(version) == ["config.json", "generation_config.json", "model.safetensors"]
    assert read_json(folder / "config.json")["model_type"] == "bart"
