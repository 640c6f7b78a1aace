"""Callers who go away: their work is dropped, nobody computes for a closed connection."""

import asyncio
import time
from typing import TypeVar

from starlette.requests import Request

from contracts.errors import DeadlineExceeded

CLIENT_GONE = 499
"""Logged and counted where the caller closed the connection first (nginx's number)."""

WATCH_AFTER_S = 0.05
"""Time after which a caller that went away is noticed, and its work dropped."""

TOO_LATE = "The answer was not ready in time; send less, or allow more time."

Answer = TypeVar("Answer")


class CallerGone(Exception):
    """The caller closed the connection before the answer was there."""


async def first_of(future: asyncio.Future[Answer], request: Request, deadline: float) -> Answer:
    """The answer.

    Raises:
        CallerGone: the caller went away first.
        DeadlineExceeded: neither came in time.
        Unavailable: the engine died.
    """
    gone = asyncio.Event()

    async def watch() -> None:
        await request.receive()  # the body is read: what comes next is the end of the connection
        gone.set()
        future.cancel()

    watching: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()
    # Most answers are there before the watcher would be: they do not pay for it.
    start = loop.call_later(WATCH_AFTER_S, lambda: watching.append(loop.create_task(watch())))
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            return await future
    except TimeoutError:
        raise DeadlineExceeded(TOO_LATE) from None
    except asyncio.CancelledError:
        if gone.is_set():
            raise CallerGone from None
        raise
    finally:
        start.cancel()
        for task in watching:
            task.cancel()
