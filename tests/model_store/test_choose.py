"""What runs: the named choice or the measured one, never something else in silence."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import CheckpointError
from contracts.tasks import Task
from model_store import choose, timings
from model_store.backends import gpu
from model_store.backends.base import BackendChoice
from model_store.backends.load import load_backend
from model_store.choose import ORDER, Candidate, cpu_candidates, cuda_candidate, fastest
from model_store.derive import derive_manifest
from model_store.manifest import Artifact
from model_store.measure import BATCH_TOKENS, least_budget
from model_store.timings import Timing, batch_tokens_of, timing_key, timings_of
from model_store.version import ModelVersion
from tests.model_store.backends.graphs import tiny_graphs
from tests.models import tiny_checkpoint


def stored(*, verified: bool = True, onnx: bool = True) -> ModelVersion:
    """A version of a store with its ONNX artifacts."""
    graphs = tiny_graphs()
    manifest = derive_manifest(graphs.folder)
    artifacts = list(manifest.artifacts)
    if onnx:
        for precision, path in (("fp32", graphs.fp32), ("int8", graphs.int8)):
            artifacts.append(
                Artifact(
                    format="onnx",
                    precision=precision,
                    path=str(path.relative_to(graphs.folder)),
                    bytes=path.stat().st_size,
                    verified=verified,
                )
            )
    manifest = manifest.model_copy(update={"artifacts": artifacts})
    return ModelVersion("tiny", 1, graphs.folder, manifest)


def ids(version: ModelVersion, *, fast_bf16: bool = True, **choice: Any) -> list[str]:
    found = cpu_candidates(version, BackendChoice(**choice), ORDER, fast_bf16=fast_bf16)
    return [each.id for each in found]


def test_auto_tries_every_allowed_candidate() -> None:
    everything = ["openvino-fp32", "openvino-bf16", "onnxruntime-fp32", "onnxruntime-int8"]
    everything += ["torch-fp32", "torch-bf16"]
    assert ids(stored()) == everything
    without = [name for name in everything if "bf16" not in name]
    assert ids(stored(), fast_bf16=False) == without
    assert "onnxruntime-int8" not in ids(stored(verified=False))
    assert ids(stored(onnx=False)) == ["torch-fp32", "torch-bf16"]
    assert ids(replace(stored(onnx=False), cache_folder=Path("cache"))) == [
        name for name in everything if "int8" not in name
    ]


def test_a_named_choice_is_obeyed() -> None:
    assert ids(stored(verified=False), precision="int8") == ["onnxruntime-int8"]
    assert ids(stored(), backend="torch", precision="bf16", fast_bf16=False) == ["torch-bf16"]
    assert ids(stored(), backend="openvino", fast_bf16=False) == ["openvino-fp32"]


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"precision": "fp16"}, "needs a GPU"),
        ({"backend": "torch", "precision": "int8"}, "--backend onnxruntime"),
        ({"backend": "openvino", "precision": "int8"}, "--backend onnxruntime"),
        ({"backend": "onnxruntime", "precision": "bf16"}, "use openvino or torch"),
    ],
)
def test_an_impossible_choice_is_refused(choice: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CheckpointError, match=sentence):
        ids(stored(), **choice)


def test_missing_files_and_packages_are_named() -> None:
    with pytest.raises(CheckpointError, match="no int8 artifact"):
        ids(stored(onnx=False), precision="int8")
    with pytest.raises(CheckpointError, match="no ONNX file"):
        ids(stored(onnx=False), backend="openvino")
    with pytest.raises(CheckpointError, match="torch is not installed"):
        cpu_candidates(stored(), BackendChoice(backend="torch"), ["openvino"], fast_bf16=True)


COSTS = st.dictionaries(
    st.sampled_from([f"{name}-{precision}" for name in ORDER for precision in ("fp32", "bf16")]),
    st.floats(1e-4, 1.0),
)


@given(COSTS)
def test_the_winner_is_close_to_the_fastest(costs: dict[str, float]) -> None:
    candidates = [Candidate(name, kind) for name in ORDER for kind in ("fp32", "bf16")]
    ranked = fastest(candidates, costs)
    assert sorted(each.id for each in ranked) == sorted(costs)
    if ranked:
        assert costs[ranked[0].id] <= min(costs.values()) * choose.ALMOST


def test_models_of_one_shape_share_a_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(timings.CACHE_VARIABLE, str(tmp_path / "cache"))
    measured: list[str] = []

    def measure_all(_: ModelVersion, some: list[Candidate], threads: int) -> dict[str, Timing]:
        measured.extend(each.id for each in some)
        return {each.id: Timing(0.1 * threads, 0.1 * threads, 512) for each in some}

    monkeypatch.setattr(timings, "measure_all", measure_all)
    one = stored()
    folder = tiny_checkpoint(tmp_path / "ner", "bert", Task.TOKEN_CLASSIFICATION, seed=3)
    other = ModelVersion("other", 7, folder, derive_manifest(folder))
    candidates = [Candidate("openvino", "fp32"), Candidate("torch", "fp32")]
    assert timings_of(one, candidates, 2) == pytest.approx(
        {"openvino-fp32": 0.2, "torch-fp32": 0.2}
    )
    assert timings_of(other, candidates, 2) == timings_of(one, candidates, 2)
    assert measured == ["openvino-fp32", "torch-fp32"]
    assert batch_tokens_of(other, candidates[0], 2) == 512
    assert batch_tokens_of(other, candidates[0], 1) is None
    timings_of(one, candidates, 1)
    assert len(measured) == 4


@pytest.mark.parametrize(
    ("seconds", "budget"),
    [
        ({256: 1.0, 512: 0.99}, 256),  # no gain: others would wait for nothing
        ({256: 1.0, 512: 0.8, 1024: 0.5, 2048: 0.49}, 1024),
        ({256: 1.0, 512: 0.8, 1024: 0.6, 2048: 0.4}, 2048),
    ],
)
def test_the_least_budget_that_is_about_as_fast_is_taken(
    seconds: dict[int, float], budget: int
) -> None:
    assert least_budget(BATCH_TOKENS, seconds.__getitem__) == budget


def test_a_timing_belongs_to_shape_candidate_and_threads(tmp_path: Path) -> None:
    one, candidate = stored(), Candidate("torch", "fp32")
    config = json.loads((one.folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    deeper = replace(one, folder=tmp_path)
    keys = {
        timing_key(one, candidate, 2),
        timing_key(one, candidate, 1),
        timing_key(one, Candidate("torch", "bf16"), 2),
        timing_key(one, Candidate("openvino", "fp32"), 2),
        timing_key(deeper, candidate, 2),
    }
    assert len(keys) == 5


def test_auto_measures_in_children_and_remembers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(timings.CACHE_VARIABLE, str(tmp_path))
    choice = BackendChoice(backend="onnxruntime", device="cpu", threads=1)
    backend = load_backend(stored(), choice)
    assert (backend.name, backend.precision in ("fp32", "int8")) == ("onnxruntime", True)
    known = json.loads((tmp_path / "timings.json").read_text())
    assert len(known) == 2
    assert all(0 < row < 9 and tokens in BATCH_TOKENS for _, row, tokens in known.values())
    monkeypatch.setattr(timings, "measure_all", None)
    assert load_backend(stored(), choice).precision == backend.precision


def test_a_candidate_that_cannot_be_loaded_gives_way_with_a_line_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(timings.CACHE_VARIABLE, str(tmp_path))
    costs = {"openvino-fp32": 0.1, "onnxruntime-fp32": 0.2, "torch-fp32": 0.3}
    monkeypatch.setattr(timings, "timings_of", lambda *_: costs)
    version = stored()
    broken = [
        each.model_copy(update={"path": "config.json"}) if each.format == "onnx" else each
        for each in version.manifest.artifacts
    ]
    manifest = version.manifest.model_copy(update={"artifacts": broken})
    with caplog.at_level(logging.WARNING):
        backend = load_backend(
            replace(version, manifest=manifest), BackendChoice(precision="fp32", device="cpu")
        )
    assert backend.name == "torch"
    assert "openvino-fp32 is left out" in caplog.text
    assert "onnxruntime-fp32 is left out" in caplog.text


def test_a_model_that_cannot_be_exported_runs_on_torch_with_a_line_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise CheckpointError("It cannot be exported.")

    monkeypatch.setattr(choose, "export_in_process", refuse)
    version = replace(stored(onnx=False), cache_folder=tmp_path)
    with caplog.at_level(logging.WARNING):
        backend = load_backend(version, BackendChoice(precision="fp32", device="cpu"))
    assert backend.name == "torch"
    assert "It cannot be exported." in caplog.text
    with pytest.raises(CheckpointError, match="cannot be exported"):
        load_backend(version, BackendChoice(backend="openvino", precision="fp32", device="cpu"))


@pytest.mark.parametrize(
    ("choice", "capability", "ort_cuda", "expected"),
    [
        ({}, (9, 0), True, "torch-bf16"),
        ({}, (7, 5), True, "torch-fp16"),
        ({"precision": "fp32"}, (9, 0), True, "torch-fp32"),
        ({}, None, True, "onnxruntime-fp32"),
        ({"backend": "onnxruntime"}, (9, 0), True, "onnxruntime-fp32"),
        ({"precision": "int8"}, (9, 0), True, "onnxruntime-int8"),
        ({"backend": "onnxruntime", "precision": "fp16"}, (9, 0), True, "onnxruntime-fp16"),
    ],
)
def test_the_rule_for_a_gpu(
    choice: dict[str, Any],
    capability: tuple[int, int] | None,
    ort_cuda: bool,
    expected: str,
) -> None:
    found = cuda_candidate(BackendChoice(**choice), capability, ort_cuda=ort_cuda)
    assert (found.id, found.device) == (expected, "cuda")


@pytest.mark.parametrize(
    ("choice", "capability", "ort_cuda", "sentence"),
    [
        ({"backend": "openvino"}, (9, 0), True, "on the CPU"),
        ({"backend": "torch", "precision": "int8"}, (9, 0), True, "--backend onnxruntime"),
        ({"backend": "torch"}, None, True, "No runtime"),
        ({}, None, False, "No runtime"),
    ],
)
def test_what_a_gpu_cannot_do_is_refused(
    choice: dict[str, Any],
    capability: tuple[int, int] | None,
    ort_cuda: bool,
    sentence: str,
) -> None:
    with pytest.raises(CheckpointError, match=sentence):
        cuda_candidate(BackendChoice(**choice), capability, ort_cuda=ort_cuda)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "has_nvidia_gpu", lambda: False)
    with pytest.raises(CheckpointError, match="No NVIDIA GPU"):
        load_backend(stored(), BackendChoice(device="cuda"))
