"""Question answering data as SQuAD 1.1 and 2.0 write them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.errors import CheckpointError
from train.data.files import BadJson, parse_json, read_text
from train.data.tables import TableRow, blank


@dataclass(frozen=True, slots=True)
class SquadQuestion:
    """A question, its context and the right answers: ``(start, text)``, none if there is none."""

    where: str
    question: str
    context: str
    answers: list[tuple[int, str]]


def read_squad(path: Path) -> Iterator[SquadQuestion]:
    """Questions in the file's order.

    Raises:
        CheckpointError: not SQuAD's structure, or an answer that is not where its offset says; the
            sentence names the file, the line where the question stands, and the place in it.
    """
    text = read_text(path)
    try:
        content = parse_json(text)
    except BadJson as error:
        place = f"{path}, line {error.line}" if error.line else str(path)
        raise CheckpointError(f"{place}: not JSON: {error.reason}.") from None
    documents = content.get("data") if isinstance(content, dict) else None
    if not isinstance(documents, list):
        raise CheckpointError(f'{path}: SQuAD files have a list "data" at the top.')
    number = 0
    for d, document in enumerate(documents):
        for p, paragraph in enumerate(_part(path, f"data[{d}]", document, "paragraphs", list)):
            place = f"data[{d}].paragraphs[{p}]"
            context = _part(path, place, paragraph, "context", str)
            for q, entry in enumerate(_part(path, place, paragraph, "qas", list)):
                spot = f"{place}.qas[{q}]"
                try:
                    yield _question(path, spot, entry, context)
                except CheckpointError as error:
                    reason = str(error).removeprefix(f"{path}, ")
                    line = _line_of_question(text, number)
                    raise CheckpointError(f"{path}, line {line}, {reason}") from None
                number += 1


def read_question_row(row: TableRow) -> SquadQuestion:
    """A question from a table, as the hub keeps SQuAD.

    ``context``, ``question`` and ``answers``, which has the lists ``text`` and ``answer_start``,
    empty where there is no answer.

    Raises:
        CheckpointError: a column is not there, or an answer is not where its offset says.
    """
    answers = row.get("answers")
    texts, starts = (
        answers.get(key) if isinstance(answers, dict) else None for key in ("text", "answer_start")
    )
    if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
        raise row.error('"answers" must have "text" and "answer_start", lists of one length.')
    entry = {
        "question": row.text("question"),
        "is_impossible": not texts,
        "answers": [
            {"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)
        ],
    }
    return _question(row.path, row.place, entry, row.text("context"))


def _line_of_question(text: str, number: int) -> int:
    """Where the n-th ``"question":`` of a file is; the last line where there are fewer."""
    found = [match.start() for match in re.finditer(r'"question"\s*:', text)]
    return text.count("\n", 0, found[number] if number < len(found) else len(text)) + 1


def _question(path: Path, place: str, entry: Any, context: str) -> SquadQuestion:
    question = _part(path, place, entry, "question", str).strip()
    impossible = "is_impossible" in entry and _part(path, place, entry, "is_impossible", bool)
    if impossible and entry.get("answers"):
        raise CheckpointError(f'{path}, {place}: it has both "is_impossible" and an answer.')
    answers: list[tuple[int, str]] = []
    for index, answer in enumerate(
        [] if impossible else _part(path, place, entry, "answers", list)
    ):
        spot = f"{place}.answers[{index}]"
        text = _part(path, spot, answer, "text", str)
        start = _part(path, spot, answer, "answer_start", int)
        if blank(text):
            raise CheckpointError(f"{path}, {spot}: the answer is empty.")
        if start < 0 or context[start : start + len(text)] != text:
            raise CheckpointError(
                f"{path}, {spot}: the context has {context[start : start + len(text)]!r} at "
                f"{start}, not {text!r}."
            )
        answers.append((start, text))
    if not impossible and not answers:
        raise CheckpointError(
            f'{path}, {place}: no answer; say "is_impossible": true if there is none.'
        )
    if blank(question) or blank(context):
        raise CheckpointError(f"{path}, {place}: question and context must not be empty.")
    return SquadQuestion(f"{path}, {place}", question, context, answers)


def _part(path: Path, place: str, holder: Any, key: str, kind: type) -> Any:
    value = holder.get(key) if isinstance(holder, dict) else None
    # True is an int to Python, but no offset.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise CheckpointError(f'{path}, {place}: "{key}" must be there and be a {kind.__name__}.')
    return value
