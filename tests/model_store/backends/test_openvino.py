"""Few shapes, and settings for one caller."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import CheckpointError
from model_store.backends.openvino import (
    ROW_COUNTS,
    compile_options,
    open_openvino,
    rounded_rows,
)
from tests.model_store.backends.graphs import tiny_graphs


@given(st.integers(1, 2000))
def test_rows_are_filled_up_to_few_counts(rows: int) -> None:
    count = rounded_rows(rows)
    assert rows <= count < 2 * rows + 1
    assert rounded_rows(count) == count
    assert count in ROW_COUNTS or count % ROW_COUNTS[-1] == 0


def test_one_stream_with_the_threads_and_the_cache_that_were_asked_for(tmp_path: Path) -> None:
    options = compile_options("bf16", 3, tmp_path)
    assert options["INFERENCE_NUM_THREADS"] == 3
    assert options["NUM_STREAMS"] == 1
    assert options["CACHE_DIR"] == str(tmp_path)
    assert "CACHE_DIR" not in compile_options("f32", 1, None)


def test_the_compiled_model_is_kept(tmp_path: Path) -> None:
    open_openvino(tiny_graphs().fp32, cache_folder=tmp_path).close()
    assert [path.suffix for path in tmp_path.iterdir()] == [".blob"]
    open_openvino(tiny_graphs().fp32, cache_folder=tmp_path).close()
    assert len(list(tmp_path.iterdir())) == 1


def test_what_openvino_cannot_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no int8"):
        open_openvino(tiny_graphs().fp32, precision="int8")
    (tmp_path / "a.onnx").write_bytes(b"not a graph")
    with pytest.raises(CheckpointError, match="cannot be compiled by OpenVINO"):
        open_openvino(tmp_path / "a.onnx")
