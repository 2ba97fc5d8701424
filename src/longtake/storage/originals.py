"""The bytes of a segment as they were received, compared with their digest while they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import structlog

from longtake.model.errors import BytesDamaged

log = structlog.get_logger()


class Original:
    """Stored bytes, to be read from any place; for one reader at a time.

    Who reads them from the first to the last gets the last piece only when all of them are those that were
    acknowledged, so that nobody takes damaged ones for a whole. A part from within is not compared.
    """

    def __init__(self, read_blob: Callable[[int, int], bytes], *, sha256: str, size_bytes: int, mime_type: str) -> None:
        """`read_blob` reads the stored bytes [start, end)."""
        self._read_blob = read_blob
        self.etag = sha256
        self.size_bytes = size_bytes
        self.mime_type = mime_type
        self._digest = hashlib.sha256()
        self._compared = 0

    def read(self, start: int, end: int) -> bytes:
        """The bytes [start, end).

        Raises:
            BytesDamaged: With them all were read, and they are not what was acknowledged. NotFound, StorageFailed: The
            disk does not have or give them.
        """
        data = self._read_blob(start, end)
        if start == 0:
            self._digest, self._compared = hashlib.sha256(), 0
        if start == self._compared:
            self._digest.update(data)
            self._compared += len(data)
            if self._compared == self.size_bytes:
                check(self._digest.hexdigest(), self.etag)
        return data


def check(found: str, acknowledged: str) -> None:
    """Compare two digests; raises BytesDamaged."""
    if found != acknowledged:
        raise damaged(acknowledged)


def damaged(sha256: str) -> BytesDamaged:
    """The error for bytes that are not those of a digest; the log is told."""
    log.error("bytes_damaged", sha256=sha256)
    return BytesDamaged(sha256)
