"""Disks that misbehave on purpose: one fails at a chosen call, one forgets what was not flushed."""

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from longtake.storage.disk import Disk, storage_error


class FailingDisk(Disk):
    """Fails at one call: `at` counts them from 0. A write that fails leaves half of its bytes behind."""

    def __init__(self, at: int | None = None, code: int = errno.EIO) -> None:
        self.at = at
        self.code = code
        self.calls: list[str] = []

    def _step(self, name: str) -> bool:
        self.calls.append(name)
        return len(self.calls) - 1 == self.at

    def _error(self) -> Exception:
        return storage_error(OSError(self.code, os.strerror(self.code)))

    def write_all(self, fd: int, parts: Sequence[bytes | bytearray | memoryview]) -> int:
        if self._step("write_all"):
            whole = b"".join(parts)
            super().write_all(fd, [whole[: len(whole) // 2]])
            raise self._error()
        return super().write_all(fd, parts)

    def flush(self, fd: int) -> None:
        if self._step("flush"):
            raise self._error()
        super().flush(fd)

    def flush_folder(self, folder: Path) -> None:
        if self._step("flush_folder"):
            raise self._error()
        super().flush_folder(folder)

    def create(self, path: Path) -> int:
        if self._step("create"):
            raise self._error()
        return super().create(path)

    def rename(self, source: Path, target: Path) -> None:
        if self._step("rename"):
            raise self._error()
        super().rename(source, target)


class VolatileDisk(Disk):
    """Remembers what a power cut would leave: bytes up to the last flush of a file, names up to that of a folder.

    A name that was taken away comes back, too, unless its folder has been flushed since.
    """

    def __init__(self) -> None:
        self._paths: dict[int, Path] = {}
        self._flushed: dict[Path, int] = {}
        self._named: set[Path] = set()
        self._taken: dict[Path, bytes] = {}

    def create(self, path: Path) -> int:
        fd = super().create(path)
        self._paths[fd] = path
        self._flushed[path] = 0
        return fd

    def flush(self, fd: int) -> None:
        super().flush(fd)
        self._flushed[self._paths[fd]] = os.fstat(fd).st_size

    def rename(self, source: Path, target: Path) -> None:
        self._take_away(source)
        super().rename(source, target)
        if source in self._flushed:
            self._flushed[target] = self._flushed.pop(source)
        self._named.discard(source)
        self._paths = {fd: target if path == source else path for fd, path in self._paths.items()}

    def remove(self, path: Path) -> None:
        self._take_away(path)
        super().remove(path)
        self._flushed.pop(path, None)
        self._named.discard(path)

    def _take_away(self, path: Path) -> None:
        """A name goes that a power cut would bring back: one that had been flushed, or was there before."""
        if path.exists() and (path in self._named or path not in self._flushed):
            self._taken[path] = path.read_bytes()

    def flush_folder(self, folder: Path) -> None:
        super().flush_folder(folder)
        self._taken = {path: data for path, data in self._taken.items() if path.parent != folder}
        self._named |= {path for path in self._flushed if path.parent == folder}

    def cut_power(self, folder: Path, image: Path) -> None:
        """Copy a folder as a power cut would leave it; what other programs wrote (the database) is kept whole."""
        shutil.copytree(folder, image)
        for path, size in self._flushed.items():
            left = image / path.relative_to(folder)
            if path not in self._named:
                left.unlink(missing_ok=True)
            elif left.exists():
                os.truncate(left, size)
        for path, data in self._taken.items():
            left = image / path.relative_to(folder)
            if not left.exists():
                left.write_bytes(data)
                os.utime(left, (0, 0))


class ForgetfulDisk(VolatileDisk):
    """Says that it has flushed files and has not: the control, with which bytes must be lost."""

    def flush(self, fd: int) -> None:
        pass


class StutteringDisk(Disk):
    """Takes a few bytes at a time, as a disk may."""

    def write_some(self, fd: int, parts: Sequence[memoryview]) -> int:
        return os.write(fd, b"".join(parts)[:7])
