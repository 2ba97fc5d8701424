"""Progress of reading bytes on standard error: a bar with rate and time left, or a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from longtake.cli.console import note

SHOWN_AFTER_S = 1.0
LINE_EVERY_S = 10.0
MIB = 1 << 20


@contextmanager
def measured(what: str) -> Iterator[Callable[[int, int], None]]:
    """Within: a function that is told the bytes that are done and the bytes there are."""
    began = time.monotonic()
    if not sys.stderr.isatty():
        said = began

        def show_line(done: int, total: int) -> None:
            nonlocal said
            now = time.monotonic()
            if now - said >= LINE_EVERY_S and total:
                said = now
                rate = done / (now - began)
                left_s = (total - done) / rate if rate else 0
                note(f"{what}: {100 * done // total} %, {rate / MIB:.0f} MiB/s, {left_s:.0f} s left")

        yield show_line
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    progress = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
    task = progress.add_task(what, total=None)
    is_shown = False

    def show_bar(done: int, total: int) -> None:
        nonlocal is_shown
        if not is_shown and time.monotonic() - began >= SHOWN_AFTER_S:
            progress.start()
            is_shown = True
        progress.update(task, completed=done, total=total)

    try:
        yield show_bar
    finally:
        if is_shown:
            progress.stop()
