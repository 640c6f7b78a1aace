"""Progress bars on standard error; nothing is drawn where that is not a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bytes_bar(what: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
    """Draw a bar while bytes are copied or hashed.

    Yields:
        A function to call with the number of bytes just done.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(what, total=total_bytes)
        yield lambda count: progress.advance(bar, count)
