"""A full disk, told in one sentence: Python, safetensors and torch each say it in their own way."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contracts.errors import CheckpointError

SIGNS = (os.strerror(errno.ENOSPC), f"os error {errno.ENOSPC}", "inline_container")
"""What the messages of errors from Rust and C++ have in common."""


@contextmanager
def full_disk_told(store: Path) -> Iterator[None]:
    """Turn the error of a full disk into a sentence; every other error passes as it is.

    Args:
        store: where versions are written, beside the folder of temporary files.

    Raises:
        CheckpointError: a write failed for want of space.
    """
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        if not _is_full(error):
            raise
        raise CheckpointError(
            f"A disk is full: that of the store {store} or of temporary files "
            f"({tempfile.gettempdir()}). Nothing was published; free some space and train again."
        ) from error


def _is_full(error: BaseException | None) -> bool:
    """Whether an error, or the one behind it, is of a full disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if any(sign in str(error) for sign in SIGNS):
            return True
        error = error.__cause__ or error.__context__
    return False
