"""Attachments: stored bytes with what is known of them, the hot ones from memory.

When something was last asked for is noted in memory and written for many at once. Belongs here: reading originals by
their id. Does not: playing (`enrichment.playback`), what is a recording and what is not (`storage.catalog`).
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from functools import partial

import structlog

from longtake.model.errors import NotFound, Unavailable
from longtake.storage.blobs import Locator
from longtake.storage.cache import ByteCache
from longtake.storage.catalog import attachments, segments, sessions, tracks
from longtake.storage.catalog.attachments import Attachment, Reference
from longtake.storage.originals import Original, check, damaged
from longtake.storage.store import Store

MAX_REFERENCES = 100
ACCESSES_AT_ONCE = 256
LONGEST_MS = 60_000
"""An access is written at the latest with the first one after this time."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """An attachment, some of the rows that refer to its bytes, and when these were last asked for."""

    attachment: Attachment
    references: tuple[Reference, ...]
    accessed_at_ms: int | None


class Attachments:
    """Reads attachments. Thread-safe."""

    def __init__(self, store: Store, cache: ByteCache) -> None:
        self._store = store
        self._cache = cache
        self._lock = threading.Lock()
        self._accesses: dict[str, int] = {}
        self._written_at_ms = store.now_ms()

    def describe(self, attachment_id: str) -> Described:
        """What is known of an attachment; raises NotFound."""
        with self._store.db.read() as c:
            found = attachments.get_attachment(c, attachment_id)
            references = attachments.references(c, found, MAX_REFERENCES)
        accessed_at_ms = self._accesses.get(found.segment.sha256, found.accessed_at_ms)
        return Described(attachment=found, references=tuple(references), accessed_at_ms=accessed_at_ms)

    def open(self, attachment_id: str) -> Original:
        """The bytes of an attachment. Small ones are compared with their digest at once, large ones as they are read.

        Raises:
            NotFound: There is no such attachment. BytesDamaged: The disk has lost or changed its bytes.
        """
        age = self._cache.age
        with self._store.db.read() as c:
            found = attachments.get_attachment(c, attachment_id)
        segment, locator = found.segment, found.locator
        self.touch(segment.sha256)

        read = partial(self._store.blobs.read, locator)
        try:
            if self._cache.takes(locator.size_bytes):
                read = partial(_part, self._whole(segment.sha256, locator, age))
            else:
                read(locator.size_bytes - 1, locator.size_bytes)
        except NotFound:
            raise damaged(segment.sha256) from None
        return Original(
            read,
            sha256=segment.sha256,
            size_bytes=segment.size_bytes,
            mime_type=segment.mime_type or "application/octet-stream",
        )

    def open_segment(self, session_id: str, track_id: str, index: int) -> Original:
        """The same, by a segment's address; raises AudioDeleted, too."""
        with self._store.db.read() as c:
            sessions.check_recorded(c, session_id)
            tracks.get_track(c, track_id, session_id)
            segment = segments.get_segment(c, track_id, index)
        return self.open(segment.id)

    def touch(self, sha256: str) -> None:
        """Bytes were asked for."""
        now_ms = self._store.now_ms()
        with self._lock:
            self._accesses[sha256] = now_ms
            is_due = abs(now_ms - self._written_at_ms) >= LONGEST_MS or len(self._accesses) >= ACCESSES_AT_ONCE
        if is_due:
            self.write()

    def write(self) -> None:
        """Write what was asked for when. Nobody is kept from reading by a disk that refuses."""
        with self._lock:
            accesses, self._accesses = self._accesses, {}
            self._written_at_ms = self._store.now_ms()
        if not accesses:
            return
        try:
            with self._store.db.write() as c:
                attachments.note_accesses(c, accesses)
        except Unavailable as error:
            log.warning("accesses_not_written", code=error.code, count=len(accesses))

    def _whole(self, sha256: str, locator: Locator, age: int) -> bytes:
        data = self._cache.get(sha256)
        if data is None:
            data = self._store.blobs.read(locator)
            check(hashlib.sha256(data).hexdigest(), sha256)
            self._cache.put(sha256, data, age)
        return data


def _part(data: bytes, start: int, end: int) -> bytes:
    return data[start:end]
