"""Tables as streams of rows: CSV, NDJSON and Parquet, read and written in constant memory."""

import csv
import io
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import orjson

from contracts.errors import TuneserveError

Row = dict[str, Any]
ENDINGS = ".csv, .ndjson, .jsonl or .parquet"
_BATCH_ROWS = 512


class Source:
    """A table that is read from its beginning to its end, once."""

    def __init__(self, path: Path) -> None:
        """Name the file; ``rows`` opens it.

        Raises:
            TuneserveError: it is not there, or its ending is not known.
        """
        if not path.is_file():
            raise TuneserveError(f"There is no file {path}.")
        self.path, self.ending = path, _ending(path)
        self.bytes = path.stat().st_size
        self.read_bytes = 0
        """Of ``bytes``, how many are behind us; of Parquet an estimate."""

    def types(self) -> dict[str, Any]:
        """Arrow's types of the columns of a Parquet file; nothing of other formats."""
        if self.ending != ".parquet":
            return {}
        with self._opened() as file:
            return {field.name: field.type for field in file.schema_arrow}

    def rows(self) -> Iterator[Row]:
        """Every row.

        Raises:
            TuneserveError: a line is none; the sentence says which.
        """
        try:
            if self.ending == ".csv":
                yield from self._csv()
            elif self.ending == ".parquet":
                yield from self._parquet()
            else:
                yield from self._ndjson()
        except (UnicodeDecodeError, csv.Error) as error:
            raise TuneserveError(f"{self.path} cannot be read: {error}.") from None

    def _csv(self) -> Iterator[Row]:
        with self.path.open("rb") as raw:
            reader = csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8-sig", newline=""))
            for number, row in enumerate(reader, 1):
                if None in row or None in row.values():
                    raise TuneserveError(
                        f"{self.path}: row {number} has not as many cells as the header."
                    )
                self.read_bytes = raw.tell()
                yield row

    def _ndjson(self) -> Iterator[Row]:
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                self.read_bytes += len(line)
                if not line.strip():
                    continue
                try:
                    row = orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    raise TuneserveError(
                        f"{self.path}: line {number} is no JSON: {error}."
                    ) from None
                if not isinstance(row, dict):
                    raise TuneserveError(f"{self.path}: line {number} is no object.")
                yield row

    def _parquet(self) -> Iterator[Row]:
        with self._opened() as file:
            total = max(1, file.metadata.num_rows)
            done = 0
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                yield from batch.to_pylist()
                done += batch.num_rows
                self.read_bytes = self.bytes * done // total

    def _opened(self) -> Any:
        parquet = _pyarrow_parquet()
        from pyarrow.lib import ArrowInvalid

        try:
            return parquet.ParquetFile(self.path)
        except ArrowInvalid as error:
            raise TuneserveError(f"{self.path} cannot be read: {error}.") from None


class Sink(ABC):
    """A table that is written row by row; all rows have the columns of the first."""

    @abstractmethod
    def write(self, rows: Sequence[Row]) -> None:
        """Add rows."""

    @abstractmethod
    def close(self) -> None:
        """Write what is left; called once, after the last row."""


@contextmanager
def open_sink(path: Path, numbers: Sequence[str], like: Source) -> Iterator[Sink]:
    """A new table; it takes its name when it is whole, in place of an older one.

    Args:
        path: its ending says the format.
        numbers: names of columns that have numbers in Parquet. A cell may be None. In CSV and
            Parquet, lists and objects are written as JSON.
        like: where other columns come from; in Parquet they keep its types.

    Raises:
        TuneserveError: the ending is not known.
    """
    ending = _ending(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            if ending == ".csv":
                sink: Sink = _CsvSink(file)
            elif ending == ".parquet":
                sink = _ParquetSink(file, numbers, like.types())
            else:
                sink = _NdjsonSink(file)
            yield sink
            sink.close()
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


class _NdjsonSink(Sink):
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, rows: Sequence[Row]) -> None:
        options = orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY
        self._file.writelines(orjson.dumps(row, default=str, option=options) for row in rows)

    def close(self) -> None:
        pass


class _CsvSink(Sink):
    def __init__(self, file: IO[bytes]) -> None:
        self._text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        self._writer: csv.DictWriter[str] | None = None

    def write(self, rows: Sequence[Row]) -> None:
        if self._writer is None and rows:
            self._writer = csv.DictWriter(self._text, list(rows[0]), extrasaction="ignore")
            self._writer.writeheader()
        for row in rows:
            assert self._writer is not None
            self._writer.writerow({name: _cell(value) for name, value in row.items()})

    def close(self) -> None:
        self._text.detach()


class _ParquetSink(Sink):
    def __init__(self, file: IO[bytes], numbers: Sequence[str], types: Mapping[str, Any]) -> None:
        self._file, self._numbers, self._types = file, numbers, types
        self._parquet = _pyarrow_parquet()
        self._writer: Any = None
        self._schema: Any = None

    def write(self, rows: Sequence[Row]) -> None:
        if rows:
            self._open(list(rows[0]))
            columns = {
                name: [self._value(name, row.get(name)) for row in rows]
                for name in self._schema.names
            }
            import pyarrow

            self._writer.write_table(pyarrow.table(columns, schema=self._schema))

    def close(self) -> None:
        self._open([])
        self._writer.close()

    def _open(self, names: Sequence[str]) -> None:
        if self._writer is None:
            import pyarrow

            known = {**dict.fromkeys(self._numbers, pyarrow.float64()), **self._types}
            self._schema = pyarrow.schema(
                [(name, known.get(name, pyarrow.string())) for name in names]
            )
            self._writer = self._parquet.ParquetWriter(self._file, self._schema)

    def _value(self, name: str, value: Any) -> Any:
        return value if name in self._numbers or name in self._types else _cell(value)


def _cell(value: Any) -> str | None:
    """A value as a text: lists and objects as JSON."""
    if value is None:
        return None
    if isinstance(value, list | dict | bool):
        return orjson.dumps(value, default=str).decode()
    return str(value)


def _ending(path: Path) -> str:
    ending = path.suffix.lower()
    if ending not in (".csv", ".ndjson", ".jsonl", ".parquet"):
        raise TuneserveError(f"{path} must end in {ENDINGS}, which says its format.")
    return ending


def _pyarrow_parquet() -> Any:
    try:
        from pyarrow import parquet
    except ImportError:
        raise TuneserveError(
            "Parquet needs the package pyarrow: install it, or use CSV or NDJSON."
        ) from None
    return parquet
