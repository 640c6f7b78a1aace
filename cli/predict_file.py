"""``tuneserve predict --file``: a table in, the same table with predictions out, in flat memory."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from cli.progress import bytes_bar
from cli.tables import Row, Sink, Source, open_sink
from contracts.bodies import outcome_of
from contracts.errors import BackendFailure, InvalidRequest, ServingError
from contracts.schemas import Body
from contracts.tasks import Task

logger = logging.getLogger(__name__)

CHUNK_ROWS = 512
"""Rows that are answered together: enough to fill batches of every length."""

PREDICTION, ERROR = "prediction", "prediction_error"
NUMBERS = ("predicted_score",)

Answer = Callable[[list[Any]], list[Any]]
"""A pipeline."""


@dataclass(frozen=True)
class Asking:
    """How a row becomes a request."""

    columns: tuple[str, ...]
    """Where its texts stand."""
    keys: tuple[str, ...]
    """What these texts are called in ``inputs``; none: it is a text alone."""
    body: Callable[[Any], Body]
    """From inputs; raises ``InvalidRequest``."""

    def inputs(self, row: Row) -> Any:
        """The ``inputs`` of a body."""
        texts = [row.get(name) for name in self.columns]
        return dict(zip(self.keys, texts, strict=True)) if self.keys else texts[0]


def predict_file(
    source: Path, out: Path, task: Task, asking: Asking, answer: Answer
) -> tuple[int, int]:
    """Answer every row of a table.

    A row that fails has its sentence under ``prediction_error``, and its neighbours are answered.
    ``prediction`` is what the server would answer to the row's text (JSON, in CSV and Parquet);
    where that is one label, answer or text, ``predicted_*`` have its parts.

    Args:
        source: CSV, NDJSON or Parquet, as its ending says.
        out: the same; written beside, and renamed when it is whole.
        task: that is asked.
        asking: how a row becomes a request.
        answer: items to answers, one or a ``ServingError`` per item.

    Returns:
        Rows, and how many of them failed.

    Raises:
        TuneserveError: a file cannot be read or written as it is named.
    """
    table = Source(source)
    counts = [0, 0]
    with bytes_bar(source.name, table.bytes) as done, open_sink(out, NUMBERS, table) as sink:
        passed = 0
        for rows in _chunks(table.rows()):
            if not counts[0]:
                _check_names(source, rows[0], asking.columns, columns_of(task))
            failed = _answer_rows(rows, task, asking, answer, sink)
            counts = [counts[0] + len(rows), counts[1] + failed]
            done(table.read_bytes - passed)
            passed = table.read_bytes
    return counts[0], counts[1]


def flat(task: Task, answer: Any) -> Row:
    """The parts of an answer that fit one cell each; nothing where it is a list of its own."""
    first = answer[0] if isinstance(answer, list) and answer else answer
    if task in (Task.TEXT_CLASSIFICATION, Task.ZERO_SHOT_CLASSIFICATION):
        best = first[0] if isinstance(first, list) else first
        return {"predicted_label": best["label"], "predicted_score": best["score"]}
    if task is Task.QUESTION_ANSWERING:
        return {"predicted_answer": first["answer"], "predicted_score": first["score"]}
    if isinstance(first, dict):
        for key in ("summary_text", "generated_text"):
            if key in first:
                return {"predicted_text": first[key]}
    return {}


def columns_of(task: Task) -> tuple[str, ...]:
    """The names that ``flat`` gives for a task."""
    if task in (Task.TEXT_CLASSIFICATION, Task.ZERO_SHOT_CLASSIFICATION):
        return ("predicted_label", "predicted_score")
    if task is Task.QUESTION_ANSWERING:
        return ("predicted_answer", "predicted_score")
    if task in (Task.SUMMARIZATION, Task.TRANSLATION, Task.TEXT2TEXT_GENERATION):
        return ("predicted_text",)
    return ()


def _answer_rows(
    rows: Sequence[Row], task: Task, asking: Asking, answer: Answer, sink: Sink
) -> int:
    bodies: list[Body | ServingError] = []
    for row in rows:
        try:
            bodies.append(asking.body(asking.inputs(row)))
        except InvalidRequest as error:
            bodies.append(error)
    items = [body.items() if isinstance(body, Body) else [] for body in bodies]
    answers = iter(_answers([one for some in items for one in some], answer))
    failed = 0
    written = []
    for row, body, some in zip(rows, bodies, items, strict=True):
        mine = list(islice(answers, len(some)))
        outcome = body if isinstance(body, ServingError) else outcome_of(body, mine)
        empty = dict.fromkeys(columns_of(task))
        if isinstance(outcome, ServingError):
            failed += 1
            written.append({**row, PREDICTION: None, **empty, ERROR: _sentence(outcome)})
        else:
            parts = empty | flat(task, outcome)
            written.append({**row, PREDICTION: _plain(outcome), **parts, ERROR: None})
    sink.write(written)
    return failed


def _answers(items: list[Any], answer: Answer) -> list[Any]:
    """All answers; when something breaks, one by one, so that a failure stays its own."""
    if not items:
        return []
    try:
        return answer(items)
    except Exception:
        if len(items) == 1:
            logger.exception("a row failed")
            return [BackendFailure("The model failed on this row.")]
        return [_answers([item], answer)[0] for item in items]


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    left = iter(rows)
    while chunk := list(islice(left, CHUNK_ROWS)):
        yield chunk


def _check_names(source: Path, row: Row, wanted: Sequence[str], added: Sequence[str]) -> None:
    for name in wanted:
        if name not in row:
            raise InvalidRequest(
                f"{source} has no column {name}; it has {', '.join(row)}. Name another with"
                " --column or --second-column."
            )
    for name in (PREDICTION, *added, ERROR):
        if name in row:
            raise InvalidRequest(f"{source} has a column {name} already: rename it.")


def _sentence(error: ServingError) -> str:
    return f"{error.place}: {error}" if error.place else str(error)


def _plain(answer: Any) -> Any:
    """Plain lists and numbers."""
    return orjson.loads(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY))
