"""Rows go through every format and back; what is no table is told by its line."""

from pathlib import Path

import pytest

from cli.tables import Row, Source, open_sink
from contracts.errors import TuneserveError

ROWS: list[Row] = [
    {"text": 'Zoë, "quoted"\nand broken', "label": "a", "score": 0.5},
    {"text": "我爱北京", "label": None, "score": None},
    {"text": "", "label": "b", "score": 1e-7},
]


def write(path: Path, rows: list[Row], like: Path | None = None) -> Path:
    with open_sink(path, ["score"], Source(like or _any_table(path))) as sink:
        for start in range(0, len(rows), 2):
            sink.write(rows[start : start + 2])
    return path


def _any_table(path: Path) -> Path:
    table = path.with_name("any.csv")
    table.touch()
    return table


@pytest.mark.parametrize("ending", ["csv", "ndjson", "jsonl", "parquet"])
def test_rows_come_back(tmp_path: Path, ending: str):
    read = list(Source(write(tmp_path / f"a.{ending}", ROWS)).rows())
    texts = [
        {name: "" if value is None else str(value) for name, value in row.items()} for row in ROWS
    ]
    assert read == (texts if ending == "csv" else ROWS)
    assert {one.name for one in tmp_path.iterdir()} == {f"a.{ending}", "any.csv"}


def test_parquet_keeps_the_types_of_parquet(tmp_path: Path):
    import pyarrow
    from pyarrow import parquet

    first = pyarrow.table({"text": ["a", "b"], "count": [1, None], "tags": [["x"], []]})
    parquet.write_table(first, tmp_path / "in.parquet")
    source = Source(tmp_path / "in.parquet")
    write(tmp_path / "out.parquet", list(source.rows()), tmp_path / "in.parquet")
    assert parquet.read_table(tmp_path / "out.parquet").equals(first)
    write(tmp_path / "out.csv", list(source.rows()))
    first_row = next(Source(tmp_path / "out.csv").rows())
    assert first_row == {"text": "a", "count": "1", "tags": '["x"]'}


def test_the_whole_file_is_behind_us_at_the_end(tmp_path: Path):
    for ending in ("csv", "ndjson", "parquet"):
        source = Source(write(tmp_path / f"a.{ending}", ROWS * 1000))
        assert len(list(source.rows())) == 3000
        assert source.read_bytes == source.bytes


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"text,label\na,b\nc\n", "row 2 has not as many cells"),
        ("a.csv", b"text\na,b\n", "row 1 has not as many cells"),
        ("a.csv", b"text\n\xff\xfe\n", "cannot be read"),
        ("a.ndjson", b'{"a": 1}\n\n{"a"', "line 3 is no JSON"),
        ("a.ndjson", b'"text"\n', "line 1 is no object"),
        ("a.parquet", b"PAR1", "cannot be read"),
        ("a.xlsx", b"", "must end in"),
        ("a", b"", "must end in"),
    ],
)
def test_what_is_no_table_is_told(tmp_path: Path, name: str, content: bytes, said: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TuneserveError, match=said):
        list(Source(tmp_path / name).rows())


def test_a_failure_leaves_the_older_table(tmp_path: Path):
    path = write(tmp_path / "a.csv", ROWS)
    before = path.read_bytes()
    with pytest.raises(RuntimeError), open_sink(path, [], Source(path)) as sink:  # noqa: PT012
        sink.write(ROWS[:1])
        raise RuntimeError
    assert path.read_bytes() == before
    with pytest.raises(TuneserveError, match="no file"):
        Source(tmp_path / "none.csv")
