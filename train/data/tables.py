"""Rows from CSV, TSV, JSON lines and Parquet, each with the line it came from."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from contracts.errors import CheckpointError
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
        if not isinstance(value, str) or not value.strip():
            raise self.error(f'column "{column}" must be text that is not empty, not {value!r}.')
        return value

    def error(self, reason: str) -> CheckpointError:
        """An error that names file and line."""
        return CheckpointError(f"{self.path}, line {self.line}: {reason}")


def format_of(path: Path, data: Data) -> Format:
    """The format of a file: the recipe's, or what its ending says.

    Raises:
        CheckpointError: neither says it.
    """
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
        yield from _read_parquet(path)
    else:
        raise CheckpointError(f"{path}: format {kind} holds no table; set data.format.")


def _read_csv(path: Path, delimiter: str, columns: list[str] | None) -> Iterator[TableRow]:
    # Quotes are ordinary characters in TSV files of the field; in CSV they hold commas together.
    quoting: Any = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    with _open(path) as file:
        reader = csv.reader(file, delimiter=delimiter, quoting=quoting)
        names = columns
        try:
            for values in reader:
                if not values:
                    continue
                if names is None:
                    names = [name.strip() for name in values]
                    continue
                row = TableRow(path, reader.line_num, {})
                if len(values) != len(names):
                    raise row.error(f"{len(values)} fields where {len(names)} were expected.")
                yield TableRow(path, reader.line_num, dict(zip(names, values, strict=True)))
        except UnicodeDecodeError as error:
            raise _not_utf8(path, reader.line_num + 1, error) from None
        except csv.Error as error:
            raise CheckpointError(f"{path}, line {reader.line_num}: {error}.") from None


def _read_jsonl(path: Path) -> Iterator[TableRow]:
    with _open(path) as file:
        number = 0
        try:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                row = TableRow(path, number, {})
                try:
                    values = json.loads(line)
                except json.JSONDecodeError as error:
                    raise row.error(f"not JSON: {error.msg}.") from None
                if not isinstance(values, dict):
                    raise row.error(f"a JSON object is expected, not {type(values).__name__}.")
                yield TableRow(path, number, values)
        except UnicodeDecodeError as error:
            raise _not_utf8(path, number + 1, error) from None


def _read_parquet(path: Path) -> Iterator[TableRow]:
    from datasets import Dataset

    for number, values in enumerate(Dataset.from_parquet(str(path)), 1):
        yield TableRow(path, number, values)


def _open(path: Path) -> Any:
    return path.open(encoding="utf-8-sig", newline="")


def _not_utf8(path: Path, line: int, error: UnicodeDecodeError) -> CheckpointError:
    byte = error.object[error.start]
    return CheckpointError(
        f"{path}, near line {line}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8."
    )
