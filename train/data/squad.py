"""Question answering data as SQuAD 1.1 and 2.0 write them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.errors import CheckpointError


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
            sentence names the file and the place in it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}, line {error.lineno}: not JSON: {error.msg}.") from None
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is not UTF-8 ({error.reason}); save it as UTF-8.") from None
    documents = content.get("data") if isinstance(content, dict) else None
    if not isinstance(documents, list):
        raise CheckpointError(f'{path}: SQuAD files have a list "data" at the top.')
    for d, document in enumerate(documents):
        for p, paragraph in enumerate(_part(path, f"data[{d}]", document, "paragraphs", list)):
            place = f"data[{d}].paragraphs[{p}]"
            context = _part(path, place, paragraph, "context", str)
            for q, entry in enumerate(_part(path, place, paragraph, "qas", list)):
                yield _question(path, f"{place}.qas[{q}]", entry, context)


def _question(path: Path, place: str, entry: Any, context: str) -> SquadQuestion:
    question = _part(path, place, entry, "question", str).strip()
    impossible = bool(entry.get("is_impossible", False))
    answers: list[tuple[int, str]] = []
    for index, answer in enumerate(
        [] if impossible else _part(path, place, entry, "answers", list)
    ):
        spot = f"{place}.answers[{index}]"
        text = _part(path, spot, answer, "text", str)
        start = _part(path, spot, answer, "answer_start", int)
        if not text.strip() or context[start : start + len(text)] != text:
            raise CheckpointError(
                f"{path}, {spot}: the context has {context[start : start + len(text)]!r} at "
                f"{start}, not {text!r}."
            )
        answers.append((start, text))
    if not impossible and not answers:
        raise CheckpointError(
            f'{path}, {place}: no answer; say "is_impossible": true if there is none.'
        )
    if not question or not context.strip():
        raise CheckpointError(f"{path}, {place}: question and context must not be empty.")
    return SquadQuestion(f"{path}, {place}", question, context, answers)


def _part(path: Path, place: str, holder: Any, key: str, kind: type) -> Any:
    value = holder.get(key) if isinstance(holder, dict) else None
    if not isinstance(value, kind):
        raise CheckpointError(f'{path}, {place}: "{key}" must be there and be a {kind.__name__}.')
    return value
