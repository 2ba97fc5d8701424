"""The few calls by which bytes reach the disk and come back, in one place, so that a test can make each of them fail.

An `OSError` of theirs becomes `StorageFull` or `StorageFailed` here and nowhere else.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from longtake.model.errors import StorageFailed, StorageFull, Unavailable

IOV_MAX = 1024
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
UNLINKABLE = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS})
"""What a file system says that gives no file a second name."""


def storage_error(error: OSError) -> Unavailable:
    """The error of ours that says what the disk said."""
    detail = f"the disk said: {error.strerror or error}"
    return StorageFull(detail) if error.errno in FULL else StorageFailed(detail)


@contextmanager
def translated() -> Iterator[None]:
    """Turn an `OSError` into the error of ours."""
    try:
        yield
    except OSError as error:
        raise storage_error(error) from error


def lately(ask: Callable[[], int], within_s: float, now_s: Callable[[], float] = time.monotonic) -> Callable[[], int]:
    """The same question, put to the system once in a while only; the answer is at most `within_s` old.

    Each such call hands the interpreter to another thread, and then waits until that one gives it back.
    """
    last: tuple[float, int] | None = None

    def answer() -> int:
        nonlocal last
        now = now_s()
        if last is None or now - last[0] >= within_s:
            last = (now, ask())
        return last[1]

    return answer


class Disk:
    """The disk itself."""

    def write_all(self, fd: int, parts: Sequence[bytes | bytearray | memoryview]) -> int:
        """Write all parts at the file's end; returns the bytes written.

        Raises:
            StorageFull, StorageFailed: An unknown part of it may have been written.
        """
        views = [memoryview(part) for part in parts]
        first = 0
        with translated():
            while first < len(views):
                taken = self.write_some(fd, views[first : first + IOV_MAX])
                while first < len(views) and taken >= len(views[first]):
                    taken -= len(views[first])
                    first += 1
                if taken:
                    views[first] = views[first][taken:]
        return sum(len(part) for part in parts)

    def write_some(self, fd: int, parts: Sequence[memoryview]) -> int:
        """Write at the file's end what the system takes at once; returns how much that was."""
        return os.writev(fd, parts)

    def read_some(self, fd: int, size_bytes: int, at: int) -> bytes:
        """Read at most so many bytes at an offset; none at the file's end."""
        with translated():
            return os.pread(fd, size_bytes, at)

    def flush(self, fd: int) -> None:
        """Return when the file's bytes survive a power cut. After a failure nothing may be assumed: never retry."""
        with translated():
            os.fdatasync(fd)

    def flush_folder(self, folder: Path) -> None:
        """Return when the names in a folder survive a power cut."""
        with translated():
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def create(self, path: Path) -> int:
        """Create a file that must not exist and open it for appending; returns the descriptor."""
        with translated():
            return os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def rename(self, source: Path, target: Path) -> None:
        """Give a flushed file its final name."""
        with translated():
            source.rename(target)

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name; a copy gets it where the file system allows no such thing."""
        with translated():
            try:
                target.hardlink_to(source)
            except OSError as error:
                if error.errno not in UNLINKABLE:
                    raise
                shutil.copyfile(source, target)

    def remove(self, path: Path) -> None:
        """Remove a file; one that is not there is no trouble."""
        with translated():
            path.unlink(missing_ok=True)

    def free_bytes(self, folder: Path) -> int:
        """How much room is left."""
        with translated():
            return shutil.disk_usage(folder).free
