"""Encoder and decoder are chosen apart: the named backends or the measured ones."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.errors import CheckpointError
from model_store.backends.base import BackendChoice
from model_store.backends.load import load_generating_backend
from model_store.backends.seq2seq.base import Seq2SeqBackend
from model_store.choose import ORDER, Candidate
from model_store.choose_seq2seq import Pair, choose_pairs_on_cpu, cpu_pairs, graph_path, quickest
from model_store.derive import derive_manifest
from model_store.manifest import Artifact
from model_store.seq2seq_compress import compress_seq2seq
from model_store.timings import timing_key, timings_of
from model_store.version import ModelVersion
from tests.model_store.backends.seq2seq.exports import exported

FP32_GRAPH = ("onnx", "fp32")
SOURCE = {
    "input_ids": np.arange(3, 21, dtype=np.int64).reshape(2, 9),
    "attention_mask": np.ones((2, 9), np.int64),
}


def stored(*, verified: bool = True, onnx: bool = True, int8: bool = True) -> ModelVersion:
    """A version of a store with its ONNX artifacts."""
    folder = exported("bart")
    if int8 and not (folder / "onnx" / "decoder_int8.onnx").exists():
        compress_seq2seq(folder / "onnx", [SOURCE] * 10)
    manifest = derive_manifest(folder)
    artifacts = list(manifest.artifacts)
    for precision in ("fp32", *(["int8"] if int8 else [])) if onnx else ():
        suffix = "_int8" if precision == "int8" else ""
        artifacts.append(
            Artifact(
                format="onnx",
                precision=precision,  # type: ignore[arg-type]
                path=f"onnx/decoder{suffix}.onnx",
                encoder=f"onnx/encoder{suffix}.onnx",
                verified=verified,
            )
        )
    manifest = manifest.model_copy(update={"artifacts": artifacts})
    return ModelVersion("tiny", 1, folder, manifest)


def ids(version: ModelVersion, *, fast_bf16: bool = True, **choice: Any) -> list[str]:
    found = cpu_pairs(version, BackendChoice(**choice), ORDER, fast_bf16=fast_bf16)
    return [each.id for each in found]


def pair(encoder: str, decoder: str) -> Pair:
    one, other = (name.split("-") for name in (encoder, decoder))
    return Pair(Candidate(*one, part="encoder"), Candidate(*other, part="decoder"))


def test_auto_mixes_graphs_and_leaves_torch_whole() -> None:
    found = ids(stored())
    # Four encoders' graphs with five decoders', and torch twice.
    assert len(found) == len(set(found)) == 4 * 5 + 2
    assert {"openvino-bf16+onnxruntime-int8", "onnxruntime-int8", "torch-bf16"} <= set(found)
    assert not any("torch" in name and "+" in name for name in found)
    assert not any("int8" in name for name in ids(stored(verified=False)))
    assert not any("bf16" in name for name in ids(stored(), fast_bf16=False))
    assert ids(stored(onnx=False), fast_bf16=False) == ["torch-fp32"]
    assert len(ids(replace(stored(onnx=False), cache_folder=Path("x")), fast_bf16=False)) == 5


def test_a_named_choice_is_obeyed_in_both_parts() -> None:
    version = stored(verified=False)
    assert ids(version, backend="onnxruntime", precision="int8") == ["onnxruntime-int8"]
    assert ids(version, backend="openvino", precision="fp32") == ["openvino-fp32"]
    assert ids(version, backend="torch", precision="bf16", fast_bf16=False) == ["torch-bf16"]
    assert ids(version, backend="openvino", precision="int8") == ["openvino-fp32+openvino-int8"]
    assert ids(version, precision="int8") == [
        "onnxruntime-int8+openvino-int8",
        "onnxruntime-int8",
    ]


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"precision": "fp16"}, "needs a GPU"),
        ({"backend": "torch", "precision": "int8"}, "torch has no int8"),
        ({"backend": "onnxruntime", "precision": "bf16"}, "use openvino or torch"),
    ],
)
def test_what_cannot_be_had_is_refused(choice: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CheckpointError, match=sentence):
        ids(stored(), **choice)
    with pytest.raises(CheckpointError, match="no int8 artifact"):
        ids(stored(int8=False), backend="onnxruntime", precision="int8")
    with pytest.raises(CheckpointError, match="openvino is not installed"):
        cpu_pairs(stored(), BackendChoice(backend="openvino"), ("torch",), fast_bf16=True)
    with pytest.raises(CheckpointError, match="use --backend torch"):
        ids(stored(onnx=False), backend="openvino")


def test_int8_needs_no_fp32_graph_beside_it() -> None:
    version = stored()
    kept = [one for one in version.manifest.artifacts if (one.format, one.precision) != FP32_GRAPH]
    alone = replace(version, manifest=version.manifest.model_copy(update={"artifacts": kept}))
    assert ids(alone, backend="onnxruntime", precision="int8") == ["onnxruntime-int8"]
    assert set(ids(alone, fast_bf16=False)) == {
        *("onnxruntime-int8", "onnxruntime-int8+openvino-int8", "torch-fp32")
    }
    with pytest.raises(CheckpointError):
        ids(alone, backend="onnxruntime", precision="fp32")


def test_the_quickest_pair_counts_one_source_and_many_tokens() -> None:
    slow_reader = pair("onnxruntime-fp32", "openvino-fp32")
    slow_writer = pair("openvino-fp32", "onnxruntime-fp32")
    seconds = {
        "encoder-onnxruntime-fp32": 0.2,
        "encoder-openvino-fp32": 0.1,
        "decoder-onnxruntime-fp32": 0.02,
        "decoder-openvino-fp32": 0.01,
    }
    assert quickest([slow_writer, slow_reader], seconds) == [slow_reader, slow_writer]
    del seconds["encoder-onnxruntime-fp32"]
    assert quickest([slow_writer, slow_reader], seconds) == [slow_writer]
    assert quickest([slow_reader], seconds) == []


def test_one_runtime_is_preferred_to_two_that_are_hardly_faster() -> None:
    two, one = (
        pair("openvino-fp32", "onnxruntime-fp32"),
        pair("onnxruntime-fp32", "onnxruntime-fp32"),
    )
    seconds = {"encoder-openvino-fp32": 0.10, "decoder-onnxruntime-fp32": 0.01}
    assert quickest([two, one], seconds | {"encoder-onnxruntime-fp32": 0.12})[0] is one
    assert quickest([two, one], seconds | {"encoder-onnxruntime-fp32": 0.30})[0] is two


def answer(backend: Seq2SeqBackend) -> list[int]:
    rows = backend.rows()
    rows.add(backend.encode(SOURCE), 1)
    ids = [0]
    for _ in range(6):
        ids.append(int(rows.step(np.array(ids[-1:])).argmax()))
    backend.close()
    return ids


@pytest.mark.parametrize("backend", ["torch", "onnxruntime", "openvino"])
def test_every_backend_that_is_named_loads_and_answers_alike(
    backend: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESERVE_CACHE", str(tmp_path))
    choice = BackendChoice(backend=backend, precision="fp32", device="cpu", threads=1)
    loaded = load_generating_backend(stored(), choice)
    assert (loaded.name, loaded.precision) == (backend, "fp32")
    reference = BackendChoice(backend="torch", precision="fp32", device="cpu", threads=1)
    assert answer(loaded) == answer(load_generating_backend(stored(), reference))


def test_auto_loads_what_was_quickest_and_the_next_if_that_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TUNESERVE_CACHE", str(tmp_path))
    version, choice = stored(), BackendChoice(device="cpu", threads=1)
    parts = {
        part
        for each in cpu_pairs(version, choice, ORDER, fast_bf16=True)
        for part in (each.encoder, each.decoder)
    }
    seconds = {timing_key(version, part, 1): (1.0, 1.0, None) for part in parts}
    for part, backend in (("encoder", "onnxruntime"), ("decoder", "onnxruntime")):
        one = Candidate(backend, "int8", part=part)  # type: ignore[arg-type]
        seconds[timing_key(version, one, 1)] = (0.1, 0.1, None)
    (tmp_path / "timings.json").write_text(json.dumps(seconds))
    loaded = load_generating_backend(version, choice)
    assert (loaded.name, loaded.precision) == ("onnxruntime", "int8")
    loaded.close()
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("onnx", "config.json", "model.safetensors", "generation_config.json"):
        (broken / name).symlink_to(version.folder / name)
    (broken / "onnx").unlink()
    (broken / "onnx").mkdir()
    for path in (version.folder / "onnx").iterdir():
        content = b"broken" if path.name == "decoder_int8.onnx" else path.read_bytes()
        (broken / "onnx" / path.name).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        again = load_generating_backend(replace(version, folder=broken), choice)
    assert again.precision != "int8"
    assert "is left out" in caplog.text
    again.close()


def test_the_fake_answers_with_the_decoders_vocabulary() -> None:
    loaded = load_generating_backend(stored(), BackendChoice(backend="fake"))
    assert loaded.name == "fake"
    rows = loaded.rows()
    rows.add(loaded.encode(SOURCE), 0)
    logits = rows.step(np.array([0]))
    assert logits.shape == (
        1,
        json.loads((stored().folder / "config.json").read_text())["vocab_size"],
    )


def test_an_artifact_without_its_encoder_is_refused() -> None:
    version = stored()
    artifacts = [one.model_copy(update={"encoder": None}) for one in version.manifest.artifacts]
    manifest = version.manifest.model_copy(update={"artifacts": artifacts})
    with pytest.raises(CheckpointError, match="names no encoder"):
        graph_path(replace(version, manifest=manifest), "encoder", "fp32")
    with pytest.raises(CheckpointError, match="has no ONNX files"):
        graph_path(stored(onnx=False), "decoder", "fp32")


@pytest.mark.e2e
def test_auto_exports_measures_and_remembers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESERVE_CACHE", str(tmp_path / "timings"))
    version = replace(stored(onnx=False), cache_folder=tmp_path / "cache")
    choice = BackendChoice(precision="fp32", device="cpu", threads=1)
    ranked = choose_pairs_on_cpu(version, choice, 1)
    assert len(ranked) == 5
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [
        "decoder.onnx",
        "encoder.onnx",
    ]
    parts = [part for each in ranked for part in (each.encoder, each.decoder)]
    monkeypatch.setattr("model_store.timings.measure_all", None)  # not again
    assert set(timings_of(version, parts, 1)) == {part.id for part in parts}
