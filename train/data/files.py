"""A data file's bytes: whether they are the expected ones, and the text that they spell."""

import codecs
from pathlib import Path

from contracts.errors import CheckpointError
from model_store.hashing import sha256_of

UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
LOOKED_AT_BYTES = 4096
"""Text in UTF-16 or UTF-32 without a mark has zero bytes as early as this."""


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, without a byte order mark; line ends as they are.

    Raises:
        CheckpointError: the file cannot be read or is in another encoding; with file and line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from None
    if content.startswith(UTF16) or b"\0" in content[:LOOKED_AT_BYTES]:
        raise CheckpointError(
            f"{path}, line 1: this is UTF-16 or binary, not UTF-8; save the file as UTF-8."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # "utf-8-sig" counts from behind the mark: ``object`` is what it counted in.
        before = error.object[: error.start]
        byte = error.object[error.start]
        raise CheckpointError(
            f"{path}, line {before.count(10) + 1}: byte 0x{byte:02x} is not UTF-8 (in Latin-1 it "
            f"is {chr(byte)!r}); save the file as UTF-8."
        ) from None


def check_sha256(path: Path, expected: str) -> None:
    """Refuse a file that is not the one that the recipe was written for.

    Raises:
        CheckpointError: the hash differs; the sentence names both.
    """
    found = sha256_of(path)
    if found != expected.lower():
        raise CheckpointError(
            f"{path} is not the file that the recipe names: its sha256 is {found}, "
            f"data.sha256 says {expected}."
        )
