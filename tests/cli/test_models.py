"""``tuneserve models`` and ``tuneserve convert`` as a person or a script uses them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import COMMANDS, app
from contracts.errors import CheckpointError
from model_store.hashing import verify_hashes
from model_store.manifest import Manifest
from model_store.store import Store
from model_store.tokenizer import load_tokenizer
from tests.model_store.checkpoints import build_version, plain_folder


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    root = tmp_path / "store"
    monkeypatch.setenv("SERVE_STORE", str(root))
    monkeypatch.delenv("TUNESERVE_DEBUG", raising=False)
    return Store(root)


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in args])


def test_add_copies_a_checkpoint_with_manifest_and_hashes(store: Store, tmp_path: Path) -> None:
    folder = plain_folder(tmp_path / "it")
    (folder / "optimizer.pt").write_bytes(b"state")
    for number in (1, 2):
        done = run("models", "add", folder, "--name", "intent")
        assert done.exit_code == 0, done.output
        assert f"Added intent@{number} (text-classification)." in done.stdout
    version = store.resolve("intent")
    verify_hashes(version)
    assert not version.plain
    assert version.artifact("torch", "fp32") is not None
    assert {path.name for path in version.folder.iterdir()} == {
        "config.json",
        "manifest.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_add_takes_task_tokenizer_and_store(store: Store, tmp_path: Path) -> None:
    folder = plain_folder(
        tmp_path / "it", tokenizer=False, architectures=["BertForTokenClassification"]
    )
    other = plain_folder(tmp_path / "other")
    elsewhere = tmp_path / "elsewhere"
    done = run(
        *("models", "add", folder, "--name", "short", "--task", "summarization"),
        *("--tokenizer", other, "--store", elsewhere),
    )
    assert done.exit_code == 0, done.output
    version = Store(elsewhere).resolve("short")
    assert version.manifest.task == "summarization"
    assert load_tokenizer(version.folder)[0].get_vocab_size() > 0
    assert store.names() == []


def test_add_makes_a_tokenizer_file_of_a_vocabulary(store: Store, tmp_path: Path) -> None:
    folder = plain_folder(tmp_path / "it")
    vocabulary = load_tokenizer(folder)[0].get_vocab()
    expected = load_tokenizer(folder)[0].encode("The quick brown fox").ids
    (folder / "tokenizer.json").unlink()
    pieces = sorted(vocabulary, key=vocabulary.__getitem__)
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    done = run("models", "add", folder, "--name", "intent")
    assert done.exit_code == 0, done.output
    version = store.resolve("intent")
    assert "tokenizer.json" in version.manifest.files
    assert load_tokenizer(version.folder)[0].encode("The quick brown fox").ids == expected


def test_add_copies_a_published_version_with_its_measurements(store: Store, tmp_path: Path) -> None:
    origin = Store(tmp_path / "origin").publish("intent", build_version)
    plain_folder(tmp_path / "it")
    tokenizer = tmp_path / "it"
    done = run("models", "add", origin.folder, "--name", "copy", "--tokenizer", tokenizer)
    assert done.exit_code == 0, done.output
    artifact = store.resolve("copy").artifact("onnx", "fp32")
    assert artifact is not None
    assert artifact.scores == {"f1": 0.5}
    (origin.folder / "onnx" / "model.onnx").write_bytes(b"grapH")
    done = run("models", "add", origin.folder, "--name", "copy", "--tokenizer", tokenizer)
    assert (done.exit_code, "is not the file that was published" in done.stderr) == (2, True)
    assert [one.version for one in store.versions("copy")] == [1]


def test_list_shows_good_and_broken(store: Store, tmp_path: Path) -> None:
    assert "no models yet" in run("models", "list").stdout
    store.publish("intent", build_version)
    store.publish("intent", build_version)
    store.set_alias("intent", "production", 1)
    (store.root / "intent" / "2" / "manifest.json").write_text("{")
    listed = json.loads(run("models", "list", "--json").stdout)
    assert [(one["model"], one["version"], one["aliases"]) for one in listed["models"]] == [
        ("intent", 1, ["production"])
    ]
    [broken] = listed["broken"]
    assert broken["model"] == "intent@2"
    assert "manifest.json is not valid JSON" in broken["error"]
    table = run("models", "list").stdout
    assert "production" in table
    assert "intent@2 is broken" in table


def test_show_tells_the_manifest_and_verifies(store: Store) -> None:
    version = store.publish("intent", build_version)
    shown = json.loads(run("models", "show", "intent", "--json").stdout)
    assert shown["labels"] == ["no", "yes"]
    assert [one["format"] for one in shown["artifacts"]] == ["torch", "onnx"]
    text = run("models", "show", "intent@1", "--verify").stdout
    assert "onnx-fp32" in text
    assert "f1=0.5" in text
    (version.folder / "config.json").write_text("{}")
    assert run("models", "show", "intent").exit_code == 0
    done = run("models", "show", "intent", "--verify")
    assert done.exit_code == 2
    assert "config.json is not the file that was published" in done.stderr


def test_show_tells_which_layers_int8_keeps_in_float(store: Store) -> None:
    def build(folder: Path) -> Manifest:
        manifest = build_version(folder)
        torch, onnx = manifest.artifacts
        return manifest.model_copy(
            update={"artifacts": [torch, onnx.model_copy(update={"float_parts": ["encoder.0"]})]}
        )

    store.publish("intent", build)
    assert "onnx-fp32 keeps encoder.0 in float" in run("models", "show", "intent").stdout


def test_alias_and_remove(store: Store) -> None:
    store.publish("intent", build_version)
    store.publish("intent", build_version)
    assert run("models", "alias", "intent", "production", 1).exit_code == 0
    assert store.resolve("intent").version == 1
    refused = run("models", "remove", "intent@1")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "intent@1 is production" in refused.stderr
    assert run("models", "remove", "intent@2").exit_code == 0
    assert [one.version for one in store.versions("intent")] == [1]
    assert "must name one version" in run("models", "remove", "intent").stderr


def test_convert_says_what_it_wrote_or_why_not(store: Store, tmp_path: Path) -> None:
    import torch

    folder = plain_folder(tmp_path / "it")
    (folder / "model.safetensors").rename(folder / "model.old")
    torch.save({"weight": torch.zeros(2)}, folder / "pytorch_model.bin")
    done = run("convert", folder)
    assert done.exit_code == 0, done.output
    assert "model.safetensors" in done.stdout
    assert run("convert", folder).exit_code == 2


def test_an_error_is_one_sentence_without_traceback(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run("models", "add", tmp_path / "nowhere", "--name", "x")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("tuneserve: There is no checkpoint folder")
    assert done.stderr.count("\n") == 1
    unknown = run("models", "show", "x")
    assert (unknown.exit_code, unknown.stderr) == (
        2,
        "tuneserve: There is no model 'x'; models: none.\n",
    )
    monkeypatch.setenv("TUNESERVE_DEBUG", "1")
    assert isinstance(
        run("models", "add", tmp_path / "nowhere", "--name", "x").exception, CheckpointError
    )


def test_help_names_every_command_and_imports_none(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['tuneserve', '--help']\n"
        "from cli.main import app\n"
        "try: app()\n"
        "finally: print([name for name in "
        "('torch', 'transformers', 'litserve', 'fastapi', 'server', 'train', 'numpy', 'pydantic') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name in COMMANDS:
        assert f" {name} " in done.stdout
    assert done.stdout.strip().endswith("[]")


def test_a_misspelt_command_is_corrected() -> None:
    done = run("model", "list")
    assert done.exit_code == 2
    assert "No such command" in done.stderr
