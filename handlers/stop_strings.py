"""Strings that end an answer, found in its tokens.

The meaning is that of transformers' ``StopStringCriteria``: a string may begin and end inside a
token, and the answer ends with the token that completes it. Text is compared as UTF-8, since a
token may end within a character.
"""

from collections.abc import Sequence

from handlers.detokenizer import Detokenizer


class StopStrings:
    """The stop strings of one request; keeps nothing about an answer, so beams may share it."""

    def __init__(self, stop: Sequence[str], detokenizer: Detokenizer) -> None:
        self._strings = [string.encode() for string in stop]
        self._longest = max(map(len, self._strings), default=0)
        self._detokenizer = detokenizer

    def complete(self, ids: Sequence[int]) -> bool:
        """Whether the newest token completes a stop string.

        Only as many tokens are looked at as the longest string has bytes.

        Args:
            ids: the answer so far, the newest token last.
        """
        if not ids or not self._strings:
            return False
        newest = self._detokenizer.piece_bytes(ids[-1])
        if not newest:
            return False
        before = b""
        for index in reversed(ids[-self._longest : -1]):
            if len(before) >= self._longest - 1:
                break
            before = self._detokenizer.piece_bytes(index) + before
        for string in self._strings:
            reach = before[max(0, len(before) - len(string) + 1) :] if len(string) > 1 else b""
            if string in reach + newest:
                return True
        return False
