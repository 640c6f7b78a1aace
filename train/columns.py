"""What the columns of a table are, guessed from their names and their contents."""

import json
import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from contracts.errors import CheckpointError
from train.data.tables import format_of, read_table
from train.recipe import Data

LOOKED_AT = 1000
"""Rows that are looked at."""

LABELS = ("label", "labels", "intent", "category", "class", "target", "sentiment", "topic", "tag")
TEXTS = ("text", "sentence", "message", "utterance", "content", "review", "question", "query")
PAIRS = (
    ("text", "text_pair"),
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("text_a", "text_b"),
)
TAGS = ("tags", "ner_tags", "labels")
SENTENCES = ("sentences", "source")
DOCUMENTS = ("document", "article", "dialogue", "text")
SUMMARIES = ("summary", "highlights", "target", "abstract")
INPUTS = ("source", "document", "article", "dialogue", "text", "input", "inputs")
OUTPUTS = ("target", "summary", "highlights", "translation", "output", "abstract", "label")
"""What columns are called, the likeliest first."""
KINDS = {
    "summary": "summarization",
    "highlights": "summarization",
    "abstract": "summarization",
    "translation": "translation",
}
"""What a model is for whose answers stand in such a column; else any text for a text."""
SEPARATORS = (",", ";", "|")
"""Between several labels in one field."""


def guess(task: str, path: Path) -> dict[str, Any]:
    """Settings that differ from the defaults: of the data, and ``problem_type`` or ``kind``.

    Args:
        task: a short name.
        path: the examples; CoNLL and SQuAD files have no columns to guess.

    Raises:
        CheckpointError: the file holds no examples, or cannot be read.
    """
    kind = format_of(path, Data(train=path))
    if kind in ("conll", "squad"):
        return {}
    found: dict[str, Any]
    rows = [row.values for row in islice(read_table(path, Data(train=path)), LOOKED_AT)]
    if not rows:
        raise CheckpointError(f"{path} holds no examples.")
    columns = list(rows[0])
    if task == "ner":
        return _named({"label": _first(TAGS, columns)}, {"label": "tags"})
    if task == "generation":
        source = _first(INPUTS, columns)
        target = _first(OUTPUTS, [one for one in columns if one != source])
        found = {"input": source, "target": target, "kind": KINDS.get(str(target).lower())}
        return _named(found, {"input": "source", "target": "target"})
    if task == "summary":
        lists = [name for name in SENTENCES if isinstance(rows[0].get(name), list)]
        found = {"sentences": lists[0] if lists else None}
        if not lists:
            found["document"] = _first(DOCUMENTS, columns)
        if "labels" not in columns:
            found["summary"] = _first(SUMMARIES, [one for one in columns if one not in lists])
        return _named(
            found, {"sentences": "sentences", "document": "document", "summary": "summary"}
        )
    if task == "classification":
        return _classification(kind, columns, rows)
    return {}


def _classification(kind: str, columns: list[str], rows: list[dict[str, Any]]) -> dict[str, Any]:
    if kind in ("csv", "tsv") and not {one.lower() for one in columns} & {*LABELS, *TEXTS}:
        header = _missing_header(columns, rows)
        if header is not None:
            return {"columns": header}
    pair = next((one for one in PAIRS if set(one) <= set(columns)), None)
    label_name = _first(LABELS, columns) or min(
        (one for one in columns if one not in (pair or ())),
        key=lambda one: len({json.dumps(row[one]) for row in rows}),
        default=columns[-1],
    )
    texts = [
        one
        for one in columns
        if one != label_name and all(isinstance(row[one], str) for row in rows)
    ]
    text = pair[0] if pair else _first(TEXTS, texts)
    if text is None:
        text = max(texts, key=lambda one: sum(len(row[one]) for row in rows), default="text")
    found: dict[str, Any] = {"text": text, "label": label_name}
    if pair:
        found["text_pair"] = pair[1]
    values = [row[label_name] for row in rows]
    if all(map(_is_number, values)) and any(float(one) % 1 for one in values):
        found["problem_type"] = "regression"
    else:
        found["label_separator"] = _separator([one for one in values if isinstance(one, str)])
    return _named(found, {"text": "text", "label": "label"})


def _missing_header(first: list[str], rows: list[dict[str, Any]]) -> list[str] | None:
    """Names for columns whose first row is an example: one of its fields is a label again later."""
    again = [index for index, one in enumerate(first) if any(row[one] == one for row in rows)]
    if not again or len(first) < 2:
        return None
    others = [index for index in range(len(first)) if index != again[0]]
    text = max(others, key=lambda index: sum(len(row[first[index]]) for row in rows))
    names = {again[0]: "label", text: "text"}
    return [names.get(index, f"column{index + 1}") for index in range(len(first))]


def _separator(values: Sequence[str]) -> str | None:
    """What stands between several labels: splitting by it must give fewer names, used again."""
    whole = set(values)
    for separator in SEPARATORS:
        parts = {part.strip() for value in whole for part in value.split(separator)}
        joined = [value for value in whole if separator in value]
        if (
            joined
            and len(parts) < len(whole)
            and all(
                part.strip() in whole for value in joined[:20] for part in value.split(separator)
            )
        ):
            return separator
    return None


def _is_number(value: Any) -> bool:
    """Labels such as 0 and 1 are numbers, too; only fractions make them a regression."""
    if isinstance(value, str):
        return re.fullmatch(r"[-+]?\d+(\.\d+)?", value.strip()) is not None
    return isinstance(value, int | float)


def _first(names: Sequence[str], columns: Sequence[str]) -> str | None:
    """The column of the likeliest name, whatever its capitals."""
    by_lower = {one.lower(): one for one in reversed(columns)}
    return next((by_lower[name] for name in names if name in by_lower), None)


def _named(found: dict[str, Any], defaults: dict[str, str]) -> dict[str, Any]:
    """Without what was not found or goes without saying."""
    return {
        key: value
        for key, value in found.items()
        if value is not None and value != defaults.get(key)
    }
