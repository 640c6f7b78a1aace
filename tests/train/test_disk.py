"""A full disk (``/dev/full`` is one) stops a run with a sentence, whoever was writing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.errors import CheckpointError
from train.disk import full_disk_told

FULL = Path("/dev/full")
pytestmark = pytest.mark.skipif(not FULL.is_char_device(), reason="there is no /dev/full")


def by_python() -> None:
    with FULL.open("w") as file:
        file.write("a")


def by_torch() -> None:
    import torch

    with FULL.open("wb", buffering=0) as file:
        torch.save({"a": torch.zeros(10_000)}, file)


def by_safetensors() -> None:
    from safetensors import SafetensorError

    # It renames a finished file to its place, so it must not be given a device: this is what it
    # says on a file system of 3 MiB.
    raise SafetensorError(
        "Error while serializing: I/O error: No space left on device (os error 28)"
    )


def behind_another() -> None:
    try:
        by_python()
    except OSError as error:
        raise RuntimeError("saving failed") from error


@pytest.mark.parametrize("write", [by_python, by_torch, by_safetensors, behind_another])
def test_a_full_disk_is_told_in_one_sentence(write: Callable[[], None], tmp_path: Path) -> None:
    with (
        pytest.raises(CheckpointError, match=r"disk is full.*Nothing was published"),
        full_disk_told(tmp_path),
    ):
        write()


@pytest.mark.parametrize(
    "error", [ValueError("a"), PermissionError(13, "no"), CheckpointError("its own.")]
)
def test_other_errors_pass(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(error)) as found, full_disk_told(tmp_path):
        raise error
    assert found.value is error
