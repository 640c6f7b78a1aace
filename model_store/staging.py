"""Folders on their way into the store: beside the models, and swept when their writer is gone.

Each is guarded by a lock file that its writer keeps locked while it lives, which the system undoes
even after ``kill -9``. What can be locked by somebody else is therefore stale.
"""

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STAGING_NAME = ".publishing"


@contextmanager
def staged_folder(root: Path) -> Iterator[Path]:
    """An empty folder in the store's file system, for this process alone.

    What is still there at the end is deleted; a finished version has been renamed away by then.
    """
    home = root / STAGING_NAME
    home.mkdir(parents=True, exist_ok=True)
    while True:
        folder = home / uuid.uuid4().hex
        lock = folder.with_suffix(".lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if lock.exists():
            break
        os.close(descriptor)  # a sweep took it between its creation and its locking
    try:
        folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def sweep(root: Path) -> None:
    """Delete the folders whose writers are gone."""
    for lock in (root / STAGING_NAME).glob("*.lock"):
        try:
            descriptor = os.open(lock, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)
        finally:
            os.close(descriptor)
