"""A refusal that closes the connection reads the rest of the body first, as nginx does.

A connection that is closed with bytes unread, or still on their way, is reset, and the caller may
find the reset instead of the answer. It matters to those who ask for the close themselves
(HTTP/1.0, Python's ``urllib``), and to all in a drain.
"""

import asyncio
import contextlib

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LINGER_S = 2.0
"""How long the rest of a body is waited for."""

CLOSE = (b"connection", b"close")


class Lingering:
    """An ASGI application around another."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        unread = True

        async def receiving() -> Message:
            nonlocal unread
            message = await receive()
            unread = message.get("more_body", False)
            return message

        async def sending(message: Message) -> None:
            starts = message["type"] == "http.response.start"
            if starts and unread and message["status"] >= 400 and _closes(scope, message):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LINGER_S):
                        while (await receive()).get("more_body", False):
                            pass
            await send(message)

        await self._app(scope, receiving, sending)


def _closes(scope: Scope, start: Message) -> bool:
    """Whether the connection ends with this response; not where the body has not been asked for."""
    asked = scope["headers"]
    if any(name == b"expect" for name, _ in asked):
        return False
    return scope["http_version"] == "1.0" or CLOSE in asked or CLOSE in start["headers"]
