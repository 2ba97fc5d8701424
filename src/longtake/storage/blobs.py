"""Bytes by digest, behind a locator: small ones in packs, large ones as files.

`Blobs` is the seam that an object store can implement later; `tests/contract/test_blobs.py` is what it must do.
Belongs here: bytes and where they lie. Does not: which rows refer to them (`catalog.blobs`).
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from longtake.model.errors import NotFound, StorageFailed, StorageFull, Unavailable
from longtake.storage.disk import Disk, translated
from longtake.storage.packs import READ_BYTES, PackWriter, Record, digest_of

MAX_OPEN = 64
MAX_MOVES = 100_000
"""Old places of bytes that are remembered."""


class StoreName(StrEnum):
    """Where bytes may lie: folders of the data folder, and words of the database."""

    PACKS = "packs"
    DERIVED = "derived"  # packs of what can be made again
    FILES = "files"  # of one body each


IN_PACKS = (StoreName.PACKS, StoreName.DERIVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Locator:
    """Where a blob lies; `store` is a `StoreName`."""

    store: str
    key: str
    offset: int
    size_bytes: int


class Staged(Protocol):
    """A large body while it arrives; may go from thread to thread. `keep` or `discard` ends it."""

    size_bytes: int
    heals: bool
    """Whether what has its name is damaged, as was seen when this was flushed: `keep` takes its place."""

    def write(self, parts: Iterable[bytes]) -> None:
        """Take the next bytes."""

    def digest(self) -> str:
        """SHA-256 of what was written so far, in hex."""

    def flush(self) -> None:
        """Return when its bytes survive a power cut; nothing may be written after it.

        What has its name already is read to the end, so not in a write transaction.
        """

    def keep(self) -> Locator:
        """Give it its final name, flushed before if it was not; durable after the next `sync`. Twice is once.

        To be called in the write transaction that names it: what has a name and no row may be collected. StorageFailed
        where that happened before it was called again.
        """

    def discard(self) -> None:
        """Forget it unless it was kept; safe to call at any time, also twice. A disk that refuses is no error here."""


class Blobs(Protocol):
    """Stores bytes that never change."""

    def append(self, store: str, records: Sequence[Record]) -> list[Locator]:
        """Store small bodies; they are durable when it returns."""

    def appended(self, store: str, records: Sequence[Record]) -> AbstractContextManager[list[Locator]]:
        """The same; within, what was appended is not collected, though no row names it yet.

        Whoever appends within the write transaction that names it does not need this.
        """

    def stage(self) -> Staged:
        """Begin to store a large body."""

    def sync(self) -> None:
        """Make the names of all that was kept durable."""

    def read(self, locator: Locator, start: int = 0, end: int | None = None) -> bytes:
        """Bytes [start, end) of a blob; NotFound when they are gone."""

    def holds(self, locator: Locator) -> bool:
        """Whether a blob's place is there and long enough: one look at the file, no proof of its bytes."""

    def digest(self, locator: Locator) -> str:
        """SHA-256, in hex, of the bytes that lie at a place: reads them. NotFound or StorageFailed where it cannot."""

    def is_whole(self, locator: Locator, sha256: str) -> bool:
        """Whether these are the bytes of a digest."""

    def path(self, locator: Locator) -> Path:
        """The local file that holds it, at `locator.offset`."""


class LocalBlobs:
    """Packs and files in a folder."""

    def __init__(self, folder: Path, disk: Disk, new_id: Callable[[], str]) -> None:
        self.folder = folder
        self._disk = disk
        self._new_id = new_id
        self.appends = 0
        """How often something was appended to the packs that cannot be made again."""
        self.kept_free_bytes = 0
        """Room that is left by what can be made again: without any nothing could be deleted."""
        self._writers: dict[str, PackWriter] = {store: PackWriter(folder / store, disk) for store in IN_PACKS}
        self._locks = {store: threading.Lock() for store in self._writers}
        self._open_files: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._open_lock = threading.Lock()
        self._pinned: Counter[tuple[str, str]] = Counter()
        self._moved: OrderedDict[tuple[str, str, int], Locator] = OrderedDict()
        self.moves = 0
        """How often bytes have been moved: a locator that was kept from before should be looked up again."""
        for name in (StoreName.FILES, "incoming"):
            (folder / name).mkdir(exist_ok=True)
        disk.flush_folder(folder)
        if os.access(folder.parent, os.R_OK):  # a folder whose name is lost takes everything in it along
            disk.flush_folder(folder.parent)
        for leftover in (folder / "incoming").iterdir():
            leftover.unlink()  # a body that was never acknowledged

    @property
    def last_pack(self) -> int:
        """The highest number that was given to a pack."""
        return max(writer.last for writer in self._writers.values())

    def begin_behind(self, number: int) -> None:
        """Before anything is appended: give no pack this number or a lower one; rows may still name it."""
        for writer in self._writers.values():
            writer.last = max(writer.last, number)

    def append(self, store: str, records: Sequence[Record]) -> list[Locator]:
        with self._locks[store]:
            return self._append(store, records)

    def _append(self, store: str, records: Sequence[Record]) -> list[Locator]:
        if store == StoreName.DERIVED:
            self.check_room(sum(record.size_bytes for record in records))
        key, offsets = self._writers[store].append(records)
        self.appends += store == StoreName.PACKS
        return [
            Locator(store=store, key=key, offset=offset, size_bytes=record.size_bytes)
            for record, offset in zip(records, offsets, strict=True)
        ]

    def check_room(self, size_bytes: int) -> None:
        """Raise StorageFull if what can be made again would take the room that deleting needs."""
        if (free := self._disk.free_bytes(self.folder)) < size_bytes + self.kept_free_bytes:
            raise StorageFull(f"the disk is full: {free} bytes are left", free_bytes=free)

    @contextmanager
    def appended(self, store: str, records: Sequence[Record]) -> Iterator[list[Locator]]:
        with self._locks[store]:
            locators = self._append(store, records)
            pins = {(store, locator.key) for locator in locators}
            self._pinned.update(pins)
        try:
            yield locators
        finally:
            with self._locks[store]:
                self._pinned.subtract(pins)

    def stage(self) -> StagedFile:
        return StagedFile(self.folder, self._new_id(), self._disk, lambda key: self._forget(StoreName.FILES, key))

    def sync(self) -> None:
        self._disk.flush_folder(self.folder / StoreName.FILES)

    def read(self, locator: Locator, start: int = 0, end: int | None = None) -> bytes:
        end = locator.size_bytes if end is None else min(end, locator.size_bytes)
        if start >= end:
            return b""
        parts = []
        with self._open_lock:
            locator = self._where(locator)
            with translated():
                fd = os.dup(self._descriptor(locator))  # one of our own: the other may be closed while we read
        try:
            at = locator.offset + start
            stop = locator.offset + end
            while at < stop:
                part = self._disk.read_some(fd, stop - at, at)
                if not part:
                    raise StorageFailed(f"{locator.store}/{locator.key} is shorter than what is recorded of it")
                parts.append(part)
                at += len(part)
        finally:
            os.close(fd)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def holds(self, locator: Locator) -> bool:
        return _size_bytes(self.path(locator)) >= locator.offset + locator.size_bytes

    def digest(self, locator: Locator) -> str:
        digest = hashlib.sha256()
        for at in range(0, locator.size_bytes, READ_BYTES):
            digest.update(self.read(locator, at, at + READ_BYTES))
        return digest.hexdigest()

    def is_whole(self, locator: Locator, sha256: str) -> bool:
        try:
            return self.digest(locator) == sha256
        except (NotFound, StorageFailed):
            return False

    def path(self, locator: Locator) -> Path:
        return self.folder / locator.store / locator.key

    def sealed(self, store: str) -> list[Path]:
        """The packs to which nothing is appended any more, and of which nobody is about to name something in a row.

        To be asked within a write transaction: then whatever rows will ever name them are there.
        """
        with self._locks[store]:
            busy = {key for (of, key), pins in self._pinned.items() if of == store and pins > 0}
            busy.add(self._writers[store].current or "")
            return sorted(path for path in (self.folder / store).glob("*.pack") if path.name not in busy)

    def current(self, store: str) -> Path | None:
        """The pack that is being appended to, if one was begun."""
        name = self._writers[store].current
        return None if name is None else self.folder / store / name

    def finish(self, store: str) -> None:
        """Append to another pack from now on."""
        with self._locks[store]:
            self._writers[store].close()

    def note_moves(self, moves: Mapping[Locator, Locator]) -> None:
        """Bytes lie elsewhere now: whoever was told of the old place still finds them."""
        with self._open_lock:
            self._moved |= {(old.store, old.key, old.offset): new for old, new in moves.items()}
            while len(self._moved) > MAX_MOVES:
                self._moved.popitem(last=False)
            self.moves += 1

    def remove_pack(self, store: str, key: str) -> None:
        """Remove a pack in which nothing is alive."""
        self._forget(store, key)
        self._disk.remove(self.folder / store / key)

    def withdraw_file(self, key: str) -> Path | None:
        """Take a file's name away, within the write transaction that decides it; returns what is left to be removed."""
        left = self.folder / "incoming" / f"{key}.gone.{self._new_id()}"
        source = self.folder / StoreName.FILES / key
        if not source.exists():
            return None
        self._disk.rename(source, left)
        self._forget(StoreName.FILES, key)
        return left

    def remove_withdrawn(self, path: Path) -> None:
        """Remove what is left of a file; the next start does it if nobody else."""
        self._disk.remove(path)

    def _forget(self, store: str, key: str) -> None:
        """Close a file that is kept open for reading: its room is not given back before."""
        with self._open_lock:
            fd = self._open_files.pop((store, key), None)
            if fd is not None:
                os.close(fd)

    def _where(self, locator: Locator) -> Locator:
        while (moved := self._moved.get((locator.store, locator.key, locator.offset))) is not None:
            locator = moved
        return locator

    def close(self) -> None:
        """Close all files."""
        for writer in self._writers.values():
            writer.close()
        with self._open_lock:
            for fd in self._open_files.values():
                os.close(fd)
            self._open_files.clear()

    def _descriptor(self, locator: Locator) -> int:
        name = (locator.store, locator.key)
        fd = self._open_files.get(name)
        if fd is None:
            try:
                fd = os.open(self.path(locator), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError as error:
                raise NotFound("blob", f"{locator.store}/{locator.key}") from error
            self._open_files[name] = fd
            if len(self._open_files) > MAX_OPEN:
                os.close(self._open_files.popitem(last=False)[1])
        self._open_files.move_to_end(name)
        return fd


class StagedFile:
    """A large body in `incoming/`, on its way to `files/`."""

    def __init__(self, folder: Path, name: str, disk: Disk, named: Callable[[str], None]) -> None:
        """Begin an empty file; `named` is called when it takes its place, perhaps that of one that was damaged."""
        self._folder = folder
        self._path = folder / "incoming" / name
        self._disk = disk
        self._named = named
        self._hash = hashlib.sha256()
        self._fd: int | None = disk.create(self._path)
        self._flushed = False
        self._kept: Locator | None = None
        self.size_bytes = 0
        self.heals = False

    def write(self, parts: Iterable[bytes]) -> None:
        assert self._fd is not None, "written after its end"
        assert not self._flushed, "written after its flush"
        parts = list(parts)
        for part in parts:
            self._hash.update(part)
        self.size_bytes += self._disk.write_all(self._fd, parts)

    def digest(self) -> str:
        return self._hash.hexdigest()

    def flush(self) -> None:
        assert self._fd is not None, "flushed after its end"
        try:
            self._disk.flush(self._fd)
        except Unavailable:
            self.discard()
            raise
        self._flushed = True
        self.heals = self._finds_damage()

    def _finds_damage(self) -> bool:
        """Whether there is a file of its name that does not have its bytes."""
        try:
            return digest_of(self._target, 0, self.size_bytes + 1) != self.digest()
        except FileNotFoundError:
            return False
        except OSError:  # the disk does not give them back
            return True

    def keep(self) -> Locator:
        key, target = self.digest(), self._target
        if self._kept is not None:
            if _size_bytes(target) < self.size_bytes:  # its transaction was rolled back, then it was collected
                raise StorageFailed(f"files/{key} is not there any more: send it again")
            return self._kept
        if not self._flushed:
            self.flush()
        if not self.heals and _size_bytes(target) >= self.size_bytes:  # the same bytes came before and stay
            self.discard()
        else:
            self._disk.rename(self._path, target)
            self._close()
            self._named(key)
        self._kept = Locator(store=StoreName.FILES, key=key, offset=0, size_bytes=self.size_bytes)
        return self._kept

    @property
    def _target(self) -> Path:
        return self._folder / StoreName.FILES / self.digest()

    def discard(self) -> None:
        if self._fd is not None:
            self._close()
            with suppress(Unavailable):  # the next start removes it
                self._disk.remove(self._path)

    def _close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            with suppress(OSError):  # its bytes were flushed, or are not wanted
                os.close(fd)


def _size_bytes(path: Path) -> int:
    """How long a file is; -1 where there is none."""
    with translated():
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return -1
