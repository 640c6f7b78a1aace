"""Where the sentences of a text are, in characters of that text.

Sentences are found by ``sentencex``, one block of text at a time. A block ends where a line ends a
thought (before blank lines and list items, after headings), which ``sentencex`` does not know;
lines that are only wrapped stay together.
"""

import re
from collections.abc import Iterator

from sentencex import segment

MAX_SENTENCE_CHARS = 2000
"""A longer run without an end is cut, at a space where it has one. ``sentencex`` gets no more at
once, since outside of ASCII its time grows with the square of it."""
WRAPPED_LINE_CHARS = 50
"""A line this long may have been wrapped; a shorter one before a capital letter ends by itself."""

HAN = r"\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
HAN += r"\U00020000-\U0003ffff"
KANA = r"\u3041-\u309f\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f"
CJK = HAN + KANA
"""Letters of Chinese and Japanese, which have no spaces between words: for a character class."""

_CJK = re.compile(f"[{CJK}]")
_KANA = re.compile(f"[{KANA}]")
_LINE = re.compile(r"[^\r\n\u0085\u2028\u2029]*(?:\r\n|[\r\n\u0085\u2028\u2029]|\Z)")
_MARKER = r"(?:[-*+•‣◦▪–—·#>]|\d{1,3}[.)]|\(?[A-Za-z]\)|\(\d{1,3}\))"
_LIST_ITEM = re.compile(rf"\s*{_MARKER}\s")
_LONE_MARKER = re.compile(rf"\s*{_MARKER}\s*")
_BEFORE_DIGIT = re.compile(r"(?<=[。！？])(?=\d)")
"""An end that sentencex does not see."""


def sentences(text: str, language: str | None = None) -> list[tuple[int, int]]:
    """Find the sentences of a text; its time grows with its length, whatever the text is.

    Args:
        text: any.
        language: ISO 639-1 code; None: Chinese or Japanese where the script says so, else English,
            whose rules and abbreviations do for most languages with spaces.

    Returns:
        ``[start, end)`` of each, in order, white space outside of them: every other character is in
        exactly one.
    """
    spans = []
    for first, last in _blocks(text):
        for start, end in _split(text, first, last, language):
            part = text[start:end]
            start += len(part) - len(part.lstrip())
            if start < end:
                spans.append((start, start + len(part.strip())))
    return spans


def language_of(text: str) -> str:
    """``ja``, ``zh`` or, for every other script, ``en``."""
    if _KANA.search(text):
        return "ja"
    return "zh" if _CJK.search(text) else "en"


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Parts of a text in which sentences may run from line to line."""
    start = 0
    before = ""
    for match in _LINE.finditer(text):
        line = match.group()
        if start < match.start() and _ends_block(before, line):
            yield start, match.start()
            start = match.start()
        before = line
    if start < len(text):
        yield start, len(text)


def _ends_block(line: str, following: str) -> bool:
    line, start = line.strip(), following.lstrip()[:1]
    if not line:
        return False
    if not start or _LIST_ITEM.match(following):
        return True
    # Chinese and Japanese are hardly ever wrapped, and their headings have no capitals.
    if _CJK.match(line[-1]):
        return True
    return len(line) < WRAPPED_LINE_CHARS and not start.islower()


def _split(text: str, start: int, end: int, language: str | None) -> Iterator[tuple[int, int]]:
    """Sentences of one block with the white space around them; together they are the block."""
    while start < end:
        chunk = text[start : min(start + MAX_SENTENCE_CHARS, end)]
        parts = _parts(chunk, language or language_of(chunk))
        if start + len(chunk) < end:
            # The last one may go on in the next chunk; a lone one is too long.
            parts = parts[:-1] or [_up_to_space(chunk)]
        for part in parts:
            yield start, start + len(part)
            start += len(part)


def _parts(chunk: str, language: str) -> list[str]:
    """Sentences of a chunk, the number or bullet of a list item with its text."""
    parts: list[str] = []
    for sentence in segment(language, chunk):
        if parts and _LONE_MARKER.fullmatch(parts[-1]):
            sentence = parts.pop() + sentence
        parts += _BEFORE_DIGIT.split(sentence)
    return parts


def _up_to_space(chunk: str) -> str:
    """The chunk without its last, unfinished word, or all of it."""
    words = chunk.rsplit(None, 1)
    if chunk[-1].isspace() or len(words) < 2:
        return chunk
    return chunk[: -len(words[-1])]
