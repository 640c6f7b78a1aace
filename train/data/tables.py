"""Rows from CSV, TSV, JSON lines, Parquet and the hub, each with the place it came from."""

import csv
import io
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from contracts.errors import CheckpointError
from train.data.files import BadJson, parse_json, read_text
from train.data.hub import is_hub, read_hub, read_parquet
from train.recipe import Data, Format

ENDINGS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".parquet": "parquet",
    ".conll": "conll",
    ".bio": "conll",
    ".json": "squad",
}
"""The format that a file's ending stands for, where the recipe does not say it."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row with its place in the file, for error messages."""

    path: Path
    line: int
    values: dict[str, Any]
    unit: str = "line"
    """What ``line`` counts; a Parquet file has rows, no lines."""

    @property
    def place(self) -> str:
        """``line n``."""
        return f"{self.unit} {self.line}"

    @property
    def where(self) -> str:
        """``file, line n``."""
        return f"{self.path}, {self.place}"

    def get(self, column: str) -> Any:
        """The value of a column.

        Raises:
            CheckpointError: there is no such column; the sentence names the nearest one.
        """
        if column in self.values:
            return self.values[column]
        near = get_close_matches(column, self.values, n=1)
        hint = f'did you mean "{near[0]}"?' if near else f"it has {', '.join(self.values)}."
        raise self.error(f'there is no column "{column}"; {hint}')

    def text(self, column: str) -> str:
        """A column that must hold text.

        Raises:
            CheckpointError: it is empty or not a string.
        """
        value = self.get(column)
        if not isinstance(value, str) or blank(value):
            raise self.error(f'column "{column}" must be text that is not empty, not {value!r}.')
        return value

    def error(self, reason: str) -> CheckpointError:
        """An error that names file and line."""
        return CheckpointError(f"{self.where}: {reason}")


def blank(text: str) -> bool:
    """Whether there is nothing to see in a text: spaces, or characters without width."""
    return not any(letter.isprintable() and not letter.isspace() for letter in text)


def format_of(path: Path, data: Data) -> Format | Literal["hub"]:
    """The format of a file: the recipe's, or what its ending says.

    Raises:
        CheckpointError: neither says it.
    """
    if is_hub(path):
        return "hub"
    if data.format is not None:
        return data.format
    found = ENDINGS.get(path.suffix.lower())
    if found is None:
        raise CheckpointError(
            f"{path}: the ending does not say the format; set data.format in the recipe."
        )
    return found


def read_table(path: Path, data: Data) -> Iterator[TableRow]:
    """Rows of a table, in the file's order.

    Raises:
        CheckpointError: wrong encoding, a ragged row, a line that is not JSON; with file and line.
    """
    kind = format_of(path, data)
    if kind in ("csv", "tsv"):
        yield from _read_csv(path, "\t" if kind == "tsv" else ",", data.columns)
    elif kind == "jsonl":
        yield from _read_jsonl(path)
    elif kind == "parquet":
        yield from _number(path, read_parquet(path))
    elif kind == "hub":
        yield from _number(path, read_hub(path, data.subset, data.revision))
    else:
        raise CheckpointError(f"{path}: format {kind} holds no table; set data.format.")


def _read_csv(path: Path, delimiter: str, columns: list[str] | None) -> Iterator[TableRow]:
    # Quotes are ordinary characters in TSV files of the field; in CSV they hold commas together.
    quoting: Any = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    csv.field_size_limit(sys.maxsize)  # by default a text of 128 KiB is refused
    text = io.StringIO(read_text(path), newline="")
    reader = csv.reader(text, delimiter=delimiter, quoting=quoting, strict=True)
    names = columns
    first = 1
    while True:
        try:
            values = next(reader, None)
        except csv.Error as error:
            # A quote that nothing closes swallows the file: where its row began helps more.
            raise CheckpointError(f"{path}, line {first}: {error}.") from None
        if values is None:
            return
        row = TableRow(path, first, {})
        first = reader.line_num + 1
        if not values:
            continue
        if names is None:
            names = [name.strip() for name in values]
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise row.error(f'there are two columns "{twice}".')
            continue
        if len(values) != len(names):
            raise row.error(f"{len(values)} fields where {len(names)} were expected.")
        yield TableRow(path, row.line, dict(zip(names, values, strict=True)))


def _read_jsonl(path: Path) -> Iterator[TableRow]:
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        row = TableRow(path, number, {})
        try:
            values = parse_json(line)
        except BadJson as error:
            raise row.error(f"not JSON: {error.reason}.") from None
        if not isinstance(values, dict):
            raise row.error(f"a JSON object is expected, not {type(values).__name__}.")
        yield TableRow(path, number, values)


def _number(path: Path, rows: Iterable[dict[str, Any]]) -> Iterator[TableRow]:
    for number, values in enumerate(rows, 1):
        yield TableRow(path, number, values, "row")
