"""From the tags of a sentence to its entities, and where the tags break their scheme.

| scheme | an entity of two tokens | two in a row |
|---|---|---|
| ``io`` | ``X X`` | cannot be told apart |
| ``iob1`` | ``I-X I-X`` | the second begins with ``B-X`` |
| ``bio`` | ``B-X I-X`` | |
| ``bioes`` | ``B-X E-X``, one token: ``S-X`` | also written BILOU, BMES and BMEWO |
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from train.recipe import TagScheme

CANONICAL = {"L": "E", "U": "S", "W": "S", "M": "I"}
"""Letters of BILOU and BMES by those of BIOES."""
_PREFIXED = re.compile(r"([BIESLUWM])-(.+)", re.DOTALL)
_NUMBER = re.compile(r"(?<=.)[-_#]?\d+$")


@dataclass(frozen=True, slots=True)
class Violation:
    """A tag that its scheme does not allow at this place."""

    index: int
    """Of the token in its sentence."""
    reason: str


def find_scheme(sentences: Iterable[Sequence[str]]) -> TagScheme:
    """The scheme of a whole file's tags.

    ``iob1`` is told from ``bio`` by what ``B-`` is used for: there, only between two entities of
    one type that touch.
    """
    letters: set[str] = set()
    lone_begin = lone_inside = False
    for tags in sentences:
        before = ""
        for tag in tags:
            match = _PREFIXED.fullmatch(tag)
            if match:
                letters.add(match[1])
                touches = before == match[2]
                lone_begin |= match[1] == "B" and not touches
                lone_inside |= match[1] == "I" and not touches
            before = match[2] if match else ""
    if not letters & {"B", "I"}:
        return "io"
    if letters - {"B", "I"}:
        return "bioes"
    return "iob1" if lone_inside and not lone_begin else "bio"


def read_entities(
    tags: Sequence[str], scheme: TagScheme, *, drop_digits: bool = False
) -> tuple[list[tuple[int, int, str]], list[Violation]]:
    """Entities in token order, and every tag that breaks the scheme.

    A broken sequence is read as conlleval reads it: what cannot continue an entity begins one.

    Args:
        tags: one per token.
        scheme: how to read them.
        drop_digits: types end in the number of their entity: ``PER1 PER1 PER2`` are two of ``PER``.

    Returns:
        ``(first, after, type)`` in tokens; and violations by token.

    Raises:
        ValueError: a tag without a prefix in a scheme that has them; the index and a reason.
    """
    found: list[tuple[int, int, str]] = []
    broken: list[Violation] = []
    first, kind, last = 0, "", "O"  # the open entity; ``last`` is the letter before

    def close(after: int) -> None:
        if last not in "OES" and scheme == "bioes":
            broken.append(
                Violation(
                    after - 1, f'"{tags[after - 1]}" begins or continues an entity, none ends'
                )
            )
        if last != "O":
            found.append((first, after, _NUMBER.sub("", kind) if drop_digits else kind))

    for index, tag in enumerate(tags):
        letter, name = _read_tag(index, tag, scheme)
        continues = last not in "OES" and kind == name and letter not in "OBS"
        if not continues:
            reason = _reason(letter, name, tags[index - 1] if index else "", last, kind, scheme)
            close(index)
            if reason:
                broken.append(Violation(index, f'"{tag}" {reason}'))
            first, kind = index, name
        last = letter
    close(len(tags))
    return found, broken


def _read_tag(index: int, tag: str, scheme: TagScheme) -> tuple[str, str]:
    if tag == "O":
        return "O", ""
    if scheme == "io":
        return "I", tag
    match = _PREFIXED.fullmatch(tag)
    allowed = "BIESLUWM" if scheme == "bioes" else "BI"
    if match is None or match[1] not in allowed:
        raise ValueError(index, f'"{tag}" is no tag of the scheme {scheme}')
    return CANONICAL.get(match[1], match[1]), match[2]


def _reason(letter: str, name: str, before: str, last: str, kind: str, scheme: str) -> str:
    """Why a tag that does not continue an entity may not stand here; empty if it may."""
    place = f'follows "{before}"' if before else "stands first"
    if scheme in ("bio", "bioes") and letter in "IE":
        return f'{place}; an entity begins with "B-{name}"'
    if scheme == "iob1" and letter == "B" and (last == "O" or kind != name):
        return f'{place}; it may only follow another "{name}"'
    return ""
