"""A data file's bytes: whether they are the expected ones, and the text that they spell."""

import codecs
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from contracts.errors import CheckpointError
from model_store.hashing import sha256_of

UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
"""The first two begin UTF-32 as well, but for its big-endian form."""


LONE_SURROGATE = re.compile(
    r"\\u(?:d[89ab][0-9a-f]{2}(?!\\ud[c-f])|(?<!\\ud[89ab]..\\u)d[c-f][0-9a-f]{2})", re.IGNORECASE
)
"""In JSON, half of a character that takes two escapes."""


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, without a byte order mark; line ends as they are.

    Raises:
        CheckpointError: the file cannot be read or is in another encoding; with file and line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from None
    if content.startswith(UTF16):
        raise CheckpointError(f"{path}, line 1: this is UTF-16, not UTF-8; save the file as UTF-8.")
    zero = content.find(0)
    if zero >= 0:
        raise CheckpointError(
            f"{path}, line {content.count(10, 0, zero) + 1}: this is UTF-16, binary or damaged: "
            "it has a zero byte; save the file as UTF-8."
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


def parse_json(text: str) -> Any:
    """A JSON value, of which every string can be written as UTF-8 and no key stands twice.

    Raises:
        BadJson: it is not; with the line in ``text``, where it is known, and a reason.
    """
    line = None if "\n" in text.strip() else 1
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise BadJson(error.lineno, error.msg) from None
    except RecursionError:
        raise BadJson(line, "it is nested too deeply") from None
    except ValueError as error:  # a key that stands twice, a number of thousands of digits
        raise BadJson(line, str(error).partition(";")[0]) from None
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            half = LONE_SURROGATE.search(text)
            line = text.count("\n", 0, half.start()) + 1 if half else line
            raise BadJson(line, f"{error.object[error.start]!a} is half of a character") from None
    return value


class BadJson(ValueError):
    """What is wrong, and in which line, counted from 1, or None."""

    def __init__(self, line: int | None, reason: str) -> None:
        super().__init__(line, reason)
        self.line, self.reason = line, reason


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f'the key "{twice}" stands there twice')
    return found


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
