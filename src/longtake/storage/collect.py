"""Gives back the room of bytes that nothing refers to any more: rows of bytes, files, then packs (`compact`).

Nothing is taken from anybody who stores just now: what goes is decided in the write transaction, as what comes is. A
file loses its name there, too, so that the same body sent again is kept under a name of its own. Files that a crash
left without a row have the same time of grace. Belongs here: which bytes go. Does not: counting references
(`catalog.blobs`), removing rows that refer (`sessions.deletion`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection

from longtake.storage.blobs import LocalBlobs, StoreName
from longtake.storage.catalog import blobs as blob_rows
from longtake.storage.compact import Compactor
from longtake.storage.database import Database, unhurried

AT_ONCE = 250
ROUND = 50_000
"""Orphans that are compared with all rows at a time."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What was removed, or would be.

    Attributes:
        deleted: Bodies.
        size_bytes: How long they were.
        freed_bytes: What the disk got back: the room of a body in a pack comes back with most of that pack.
        packs: Packs that were removed, or written anew in a smaller one.
    """

    deleted: int
    size_bytes: int
    freed_bytes: int
    packs: int


class Collector:
    """Collects, one call after another; thread-safe."""

    def __init__(
        self,
        db: Database,
        blobs: LocalBlobs,
        *,
        now_ms: Callable[[], int],
        deletions: Callable[[], int] = lambda: 0,
    ) -> None:
        """`deletions` is a number that rises with each session that is deleted, or its recordings."""
        self._db = db
        self._blobs = blobs
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._compactor = Compactor(db, blobs, self.step, self._stopping.is_set, deletions)

    def collect(self, older_than_ms: int, *, dry_run: bool = False) -> Collected:
        """Remove bytes without a reference for longer than a time of grace.

        Raises:
            StorageFull, StorageFailed: The disk refuses; what was done stays done.
        """
        before_ms = self._now_ms() - older_than_ms
        with self._lock:
            deleted = size_bytes = freed_bytes = 0
            for found, freed in (self._orphans(before_ms, dry_run), self._nameless(before_ms, dry_run)):
                deleted += len(found)
                size_bytes += sum(found.values())
                freed_bytes += freed
            packs, of_packs = self._compactor.compact(before_ms, dry_run=dry_run)
        return Collected(deleted=deleted, size_bytes=size_bytes, freed_bytes=freed_bytes + of_packs, packs=packs)

    def close(self) -> None:
        """Stop between two steps; what is left is the next collection's."""
        self._stopping.set()
        with self._lock:
            pass

    def step(self, *, unchecked: bool = False) -> AbstractContextManager[Connection]:
        """One transaction, in which references between tables may be unchecked, and a rest."""
        return unhurried(self._db.write_unchecked() if unchecked else self._db.write(), self._stopping)

    def _orphans(self, before_ms: int, dry_run: bool) -> tuple[dict[str, int], int]:
        """Remove rows of bytes, and the files of those that are files: digest → size, and what the disk got back."""
        removed: dict[str, int] = {}
        freed_bytes = 0
        after = (-1, "")
        while not self._stopping.is_set():
            with self._db.read() as c:
                found = blob_rows.orphans(c, before_ms, after, ROUND)
                if not found:
                    break
                sizes = {one.sha256: one.locator.size_bytes for _, one in found}
                wrong = {sha256 for sha256 in blob_rows.referred_to(c) if sha256 in sizes}
            after = (found[-1][0], found[-1][1].sha256)
            for sha256 in wrong:  # never believed alone: this is somebody's recording
                log.error("reference_count_wrong", sha256=sha256)
                del sizes[sha256]
            if dry_run:
                removed |= sizes
                files = (one for _, one in found if one.locator.store == StoreName.FILES and one.sha256 in sizes)
                freed_bytes += sum(one.locator.size_bytes for one in files)
                continue
            for part in parts_of(list(sizes)):
                if self._stopping.is_set():
                    break
                with self.step(unchecked=True) as c:
                    gone = blob_rows.remove_orphans(c, part, before_ms)
                removed |= {one.sha256: one.locator.size_bytes for one in gone}
                of_files = [one.locator.key for one in gone if one.locator.store == StoreName.FILES]
                freed_bytes += self._remove_files(of_files)
        return removed, freed_bytes

    def _nameless(self, before_ms: int, dry_run: bool) -> tuple[dict[str, int], int]:
        """Remove files that no row names."""
        removed: dict[str, int] = {}
        freed_bytes = 0
        names = [entry.name for entry in os.scandir(self._blobs.folder / StoreName.FILES)]
        for part in parts_of(names):
            if self._stopping.is_set():
                break
            with self._db.read() as c:
                known = blob_rows.locate(c, part)
            found: dict[str, int] = {}
            for name in part:
                if name not in known or known[name].store != StoreName.FILES:
                    about = (self._blobs.folder / StoreName.FILES / name).stat()
                    if about.st_mtime_ns // 1_000_000 <= before_ms:
                        found[name] = about.st_size
            removed |= found
            freed_bytes += sum(found.values()) if dry_run else self._remove_files(list(found))
        return removed, freed_bytes

    def _remove_files(self, names: Sequence[str]) -> int:
        """Remove files, unless their bytes have been stored again meanwhile; returns what the disk got back."""
        if not names:
            return 0
        with self.step() as c:
            known = blob_rows.locate(c, names)
            strays = [name for name in names if name not in known or known[name].store != StoreName.FILES]
            withdrawn = [path for name in strays if (path := self._blobs.withdraw_file(name)) is not None]
        freed_bytes = 0
        for path in withdrawn:  # outside the transaction: a large file takes its time
            freed_bytes += path.stat().st_size
            self._blobs.remove_withdrawn(path)
        return freed_bytes


def parts_of(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """So many at a time."""
    for first in range(0, len(names), AT_ONCE):
        yield names[first : first + AT_ONCE]
