"""Texts of a length that a person reads, and where they came from."""

from pathlib import PurePath

LONGEST = 1200
"""Characters of a text that are shown."""


def short(text: str, around: int = 0) -> str:
    """At most ``LONGEST`` characters, those about a place."""
    begin = max(0, min(around - LONGEST // 2, len(text) - LONGEST))
    end = begin + LONGEST
    return f"{'… ' if begin else ''}{text[begin:end]}{' …' if end < len(text) else ''}"


def place(where: str) -> str:
    """``file, line n`` without the folder: the same on any machine."""
    return PurePath(where).name
