"""The engine's end of the sockets: one thread, no locks, nothing that a killed peer could hold."""

import contextlib
import os
import selectors
import socket
from pathlib import Path
from typing import Any

from server.messages import Unpacker, pack

_READ_BYTES = 1 << 18


class Connection:
    """One HTTP process at the other end."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.unpacker = Unpacker()
        self.outgoing = bytearray()
        self.blocked = False
        self.open = True


class Hub:
    """Listens on a Unix socket; receives from and sends to every connected HTTP process."""

    def __init__(self, path: Path) -> None:
        """Listen at ``path``, in place of a dead predecessor."""
        path.unlink(missing_ok=True)
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._wakes, self._waker = os.pipe()
        for end in (self._wakes, self._waker):
            os.set_blocking(end, False)
        self._selector.register(self._wakes, selectors.EVENT_READ, data=os.pipe)
        self.connections: list[Connection] = []
        self._posted: dict[Connection, None] = {}

    def watch(self, sentinel: int) -> None:
        """Make ``receive`` raise ``EOFError`` once this file descriptor is readable."""
        self._selector.register(sentinel, selectors.EVENT_READ, data=EOFError)

    def wake(self) -> None:
        """End a ``receive`` that waits, now or at its next call; other threads may do that."""
        with contextlib.suppress(BlockingIOError, OSError):  # full: it wakes anyway; or closed
            os.write(self._waker, b"x")

    def receive(self, timeout_s: float | None) -> list[tuple[Connection, Any]]:
        """Take all messages that are there; with none, wait.

        Args:
            timeout_s: longest wait; None: until something comes, 0: not at all.

        Returns:
            Messages in order of arrival per connection; a new connection gives
            ``(connection, None)``.
        """
        messages: list[tuple[Connection, Any]] = []
        for key, events in self._selector.select(timeout_s):
            if key.data is EOFError:
                raise EOFError("the server is gone")
            if key.data is os.pipe:
                os.read(self._wakes, 4096)
                continue
            if key.fileobj is self._listener:
                messages.append((self._accept(), None))
                continue
            connection: Connection = key.data
            if events & selectors.EVENT_WRITE:
                self._flush(connection)
            if events & selectors.EVENT_READ and connection.open:
                messages += [(connection, message) for message in self._read(connection)]
        return messages

    def post(self, connection: Connection, message: object) -> None:
        """Put a message into the next ``flush``."""
        if connection.open:
            connection.outgoing += pack(message)
            self._posted[connection] = None

    def flush(self) -> None:
        """Send what was posted, in one piece per peer: it wakes once, not once per message.

        Never waits; what the peer does not take now goes out later.
        """
        posted, self._posted = self._posted, {}
        for connection in posted:
            if connection.open:
                self._flush(connection)

    def close(self) -> None:
        """Close every socket."""
        for connection in list(self.connections):
            self._drop(connection)
        self._selector.close()
        self._listener.close()
        os.close(self._wakes)
        os.close(self._waker)

    def _accept(self) -> Connection:
        sock, _ = self._listener.accept()
        sock.setblocking(False)
        connection = Connection(sock)
        self.connections.append(connection)
        self._selector.register(sock, selectors.EVENT_READ, data=connection)
        return connection

    def _read(self, connection: Connection) -> list[Any]:
        messages: list[Any] = []
        while True:
            try:
                data = connection.sock.recv(_READ_BYTES)
            except BlockingIOError:
                return messages
            except OSError:
                data = b""
            if not data:
                self._drop(connection)
                return messages
            messages += connection.unpacker.feed(data)
            if len(data) < _READ_BYTES:
                return messages

    def _flush(self, connection: Connection) -> None:
        try:
            while connection.outgoing:
                sent = connection.sock.send(connection.outgoing)
                del connection.outgoing[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(connection)
            return
        if bool(connection.outgoing) != connection.blocked:
            connection.blocked = bool(connection.outgoing)
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.blocked else 0)
            self._selector.modify(connection.sock, events, data=connection)

    def _drop(self, connection: Connection) -> None:
        if connection.open:
            connection.open = False
            self.connections.remove(connection)
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(connection.sock)
            connection.sock.close()
