"""Answers on their way to a client: a little in memory, and on disk what it does not read yet.

A client that reads while it sends never needs the disk: when it reads slowly, ``put`` waits, and so
does all that comes before. But some clients (httpx, for one) read nothing until they have sent
everything; waiting for these would be waiting for ever.
"""

import asyncio
import tempfile
from collections import deque
from typing import IO

PATIENCE_S = 1.0
"""A client that takes nothing for so long is taken for one that reads when it has sent all."""

GIVE_UP_S = 600.0
"""And one that takes nothing for so long, where the disk's share is full too, for one that is gone.
"""

_READ_BYTES = 1 << 18


class ClientStalled(Exception):
    """Nothing was read for ``GIVE_UP_S``, and there is no room left."""


class Outbox:
    """A queue of bytes in order: memory first, then a file that only this process sees."""

    def __init__(self, memory_bytes: int, disk_bytes: int) -> None:
        """Start empty; without a file until one is needed.

        Args:
            memory_bytes: held at most, beside one piece.
            disk_bytes: held in the file at most.
        """
        self._memory_bytes, self._disk_bytes = memory_bytes, disk_bytes
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._file: IO[bytes] | None = None
        self._read = self._written = 0
        self._stuck = self._ended = False
        self._news, self._room = asyncio.Event(), asyncio.Event()

    @property
    def on_disk(self) -> int:
        """Bytes that wait in the file."""
        return self._written - self._read

    async def put(self, piece: bytes) -> None:
        """Add a piece; wait while there is no room for it.

        Raises:
            ClientStalled: for too long.
        """
        waited_s = 0.0
        while not self._keep(piece):
            self._room.clear()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._room.wait()
                waited_s = 0.0
            except TimeoutError:
                self._stuck = True
                waited_s += PATIENCE_S
                if waited_s >= GIVE_UP_S:
                    raise ClientStalled from None
        self._news.set()

    def end(self) -> None:
        """Nothing more comes."""
        self._ended = True
        self._news.set()

    async def take(self) -> bytes:
        """What comes next, once it is there; empty at the end."""
        self._stuck = False
        while True:
            if self._pieces:
                piece = self._pieces.popleft()
                self._held -= len(piece)
                break
            if self._file is not None and self.on_disk:
                self._file.seek(self._read)
                piece = self._file.read(min(_READ_BYTES, self.on_disk))
                self._read += len(piece)
                if not self.on_disk:
                    self._read = self._written = 0
                    self._file.truncate(0)
                break
            if self._ended:
                return b""
            self._news.clear()
            await self._news.wait()
        self._room.set()
        return piece

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            self._file.close()

    def _keep(self, piece: bytes) -> bool:
        """Hold a piece where there is room now; the file once it has any, to keep the order."""
        fits = not self._held or self._held + len(piece) <= self._memory_bytes
        if fits and not self.on_disk:
            self._pieces.append(piece)
            self._held += len(piece)
            return True
        if self._stuck and self.on_disk + len(piece) <= self._disk_bytes:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="tuneserve-bulk-")  # noqa: SIM115
            self._file.seek(self._written)
            self._file.write(piece)
            self._written += len(piece)
            return True
        return False
