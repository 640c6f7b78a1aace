"""Lines out of a stream of bytes, in constant memory."""

from collections.abc import Iterator

from contracts.errors import RequestTooLarge


class LineCutter:
    """Cuts pieces of a body into lines; of a line that is too long it keeps nothing."""

    def __init__(self, longest: int) -> None:
        """Start at the beginning of a line.

        Args:
            longest: bytes that one line may have.
        """
        self._longest = longest
        self._begun = bytearray()
        self._skipping = False

    def feed(self, piece: bytes, *, last: bool = False) -> Iterator[bytes | RequestTooLarge]:
        """Take the next bytes.

        Args:
            piece: as it came.
            last: nothing follows: the last line may end without a line break.

        Yields:
            Each line that is complete, without its line break, or the error in its place; blank
            lines are left out.
        """
        *whole, rest = piece.split(b"\n")
        for part in whole:
            yield from self._end(part)
        self._add(rest)
        if last:
            yield from self._end(b"")

    def _add(self, part: bytes) -> None:
        if self._skipping or len(self._begun) + len(part) > self._longest:
            self._skipping = True
            self._begun.clear()
        else:
            self._begun += part

    def _end(self, part: bytes) -> Iterator[bytes | RequestTooLarge]:
        self._add(part)
        if self._skipping:
            yield RequestTooLarge(
                f"The line has more than {self._longest} bytes; send a shorter one."
            )
        elif line := bytes(self._begun).strip():
            yield line
        self._begun.clear()
        self._skipping = False
