"""CoNLL files: one token and its tag per line, a blank line between sentences."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import CheckpointError
from train.data.files import read_text


@dataclass(frozen=True, slots=True)
class TaggedSentence:
    """Tokens with one tag each, and where each of them stands."""

    path: Path
    places: list[str]
    """``line n``, one per token."""
    tokens: list[str]
    tags: list[str]


def read_conll(path: Path) -> Iterator[TaggedSentence]:
    """Sentences in the file's order.

    The token is the first column and the tag the last; columns stand apart by tabs, or by spaces
    where a line has no tab. Lines that begin with ``-DOCSTART-`` or ``# `` are skipped.

    Raises:
        CheckpointError: a line without a tag, or another encoding; with file and line.
    """
    places: list[str] = []
    tokens: list[str] = []
    tags: list[str] = []
    for number, line in enumerate(io.StringIO(read_text(path), newline=None), 1):
        if not line.strip():
            if tokens:
                yield TaggedSentence(path, places, tokens, tags)
                places, tokens, tags = [], [], []
            continue
        if line.startswith(("-DOCSTART-", "# ")) and "\t" not in line:
            continue
        columns = line.rstrip("\n").split("\t") if "\t" in line else line.split()
        if len(columns) < 2 or not columns[0].strip() or not columns[-1].strip():
            raise CheckpointError(
                f"{path}, line {number}: a token and its tag are expected, not {line.strip()!r}."
            )
        places.append(f"line {number}")
        tokens.append(columns[0].strip())
        tags.append(columns[-1].strip())
    if tokens:
        yield TaggedSentence(path, places, tokens, tags)
