"""Every generating architecture exports, and what is exported answers as torch does."""

from pathlib import Path

import onnx
import pytest

from contracts.errors import CheckpointError
from contracts.tasks import Task
from model_store import seq2seq_export
from model_store.backends.seq2seq.steps import StepGraph
from model_store.backends.torch import load_model
from model_store.seq2seq_export import export_seq2seq, export_seq2seq_in_process, pair_names
from tests.model_store.backends.seq2seq.exports import EVERY, exported
from tests.seq2seq_models import tiny_seq2seq


@pytest.mark.parametrize("architecture", EVERY)
def test_both_files_have_the_names_that_backends_read(architecture: str) -> None:
    folder = exported(architecture) / "onnx"
    encoder, decoder = (onnx.load(str(folder / f"{part}.onnx")) for part in ("encoder", "decoder"))
    layers = 2
    cross = pair_names("cross_", layers)
    assert [each.name for each in encoder.graph.input] == ["input_ids", "attention_mask"]
    assert [each.name for each in encoder.graph.output] == cross
    positions = [] if architecture in ("t5", "mt5") else ["positions"]
    assert sorted(each.name for each in decoder.graph.input) == sorted(
        ["input_ids", "past_mask", "source_mask", *positions, *pair_names("past_", layers), *cross]
    )
    assert [each.name for each in decoder.graph.output] == ["logits", *pair_names("", layers)]
    # Rows, the past and the source vary; heads and their width do not.
    past = next(each for each in decoder.graph.input if each.name == "past_key_0")
    fixed = [bool(axis.dim_value) for axis in past.type.tensor_type.shape.dim]
    assert fixed == [False, True, False, True]


def test_a_file_that_differs_is_refused_and_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = exported("bart") / "onnx"
    monkeypatch.setattr(
        seq2seq_export,
        "_write_encoder",
        lambda _, path: path.write_bytes((other / "encoder.onnx").read_bytes()),
    )
    folder = tiny_seq2seq(tmp_path / "other", "bart", seed=1)
    with pytest.raises(CheckpointError, match="encoder differs from torch"):
        export_seq2seq(folder, tmp_path / "onnx")
    assert list((tmp_path / "onnx").iterdir()) == []


def test_a_decoder_that_differs_is_refused(tmp_path: Path) -> None:
    other = tiny_seq2seq(tmp_path / "other", "t5", seed=1)
    graph = StepGraph(load_model(other, Task.TEXT2TEXT_GENERATION))
    renamed = tmp_path / ".decoder.onnx.new"
    renamed.write_bytes((exported("t5") / "onnx" / "decoder.onnx").read_bytes())
    with pytest.raises(CheckpointError, match="decoder differs from torch"):
        seq2seq_export._compare_decoder(graph, renamed, other)


def test_the_child_process_hands_its_sentence_on(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bart", "is_encoder_decoder": true}')
    with pytest.raises(CheckpointError, match="cannot be loaded by transformers"):
        export_seq2seq_in_process(tmp_path, tmp_path / "onnx")
