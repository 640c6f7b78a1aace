"""Whether an answer has the shape that clients rely on, and belongs to its question.

Each function returns what is wrong, in a few words, or None. What the models *say* is not judged
here; that labels, offsets and counts fit together is.
"""

from collections.abc import Sequence
from typing import Any


def wrong_classes(answer: Any, texts: Sequence[str]) -> str | None:
    """Text classification: one list of labels per text, best first, scores within [0, 1]."""
    if not isinstance(answer, list) or len(answer) != len(texts):
        return f"not {len(texts)} lists of labels"
    for labels in answer:
        if not isinstance(labels, list) or not labels:
            return "a text has no labels"
        if not all(isinstance(one, dict) and _is_score(one.get("score")) for one in labels):
            return "a label without a score within [0, 1]"
        if not all(isinstance(one.get("label"), str) for one in labels):
            return "a label without a name"
        if labels != sorted(labels, key=lambda one: -one["score"]):
            return "labels are not sorted by score"
    return None


def wrong_entities(answer: Any, text: str) -> str | None:
    """Token classification: every word is the slice of the text that its offsets name."""
    if not isinstance(answer, list):
        return "not a list of entities"
    for one in answer:
        if not isinstance(one, dict) or not isinstance(one.get("entity_group"), str):
            return "an entity without a group"
        if not _is_score(one.get("score")):
            return "an entity without a score within [0, 1]"
        if not _is_slice(one, "word", text):
            return "an entity's word is not text[start:end]"
    return None


def wrong_answer(answer: Any, context: str) -> str | None:
    """Question answering: the answer is the slice of the context that its offsets name."""
    if not isinstance(answer, dict) or not _is_score(answer.get("score")):
        return "an answer without a score within [0, 1]"
    if not _is_slice(answer, "answer", context):
        return "the answer is not context[start:end]"
    return None


def _is_score(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1 + 1e-6


def _is_slice(one: dict[str, Any], key: str, text: str) -> bool:
    start, end = one.get("start"), one.get("end")
    if not isinstance(start, int) or not isinstance(end, int) or not 0 <= start <= end <= len(text):
        return False
    return bool(text[start:end] == one.get(key))
