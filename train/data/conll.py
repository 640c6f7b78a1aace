"""CoNLL files: one token and its tag per line, a blank line between sentences."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class TaggedSentence:
    """Tokens with one tag each, and the line of the first."""

    path: Path
    line: int
    tokens: list[str]
    tags: list[str]


def read_conll(path: Path) -> Iterator[TaggedSentence]:
    """Sentences in the file's order.

    The token is the first column and the tag the last; columns stand apart by tabs, or by spaces
    where a line has no tab. Lines that begin with ``-DOCSTART-`` or ``# `` are skipped.

    Raises:
        CheckpointError: a line without a tag, or another encoding; with file and line.
    """
    tokens: list[str] = []
    tags: list[str] = []
    first = 1
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                columns = line.rstrip("\r\n").split("\t") if "\t" in line else line.split()
                if not line.strip():
                    if tokens:
                        yield TaggedSentence(path, first, tokens, tags)
                        tokens, tags = [], []
                    continue
                if line.startswith(("-DOCSTART-", "# ")) and "\t" not in line:
                    continue
                if len(columns) < 2 or not columns[0].strip() or not columns[-1].strip():
                    raise CheckpointError(
                        f"{path}, line {number}: a token and its tag are expected, "
                        f"not {line.strip()!r}."
                    )
                if not tokens:
                    first = number
                tokens.append(columns[0].strip())
                tags.append(columns[-1].strip())
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise CheckpointError(
            f"{path}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8."
        ) from None
    if tokens:
        yield TaggedSentence(path, first, tokens, tags)
