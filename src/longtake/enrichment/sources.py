"""Where the bytes of a segment lie and what they are, for whoever decodes them: compared with their digest before.

A bit that flipped on the disk decodes to a click, or to other words, and nobody would know. Bytes that were compared
are believed for a while, so that the lanes of a new segment read it once.
"""

from __future__ import annotations

import time
from collections import OrderedDict

from longtake.media.probe import SNIFF_BYTES, sniff
from longtake.media.sandbox import MediaSource
from longtake.model.errors import MediaError, NotFound, StorageFailed
from longtake.storage.blobs import Locator
from longtake.storage.catalog import blobs
from longtake.storage.store import Store

BELIEVED_S = 3600.0
MAX_BELIEVED = 10_000


class Sources:
    """Hands out segments by digest. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._compared_s: OrderedDict[str, float] = OrderedDict()

    def __call__(self, sha256: str) -> MediaSource:
        """A segment to decode.

        Raises:
            MediaError: Its bytes cannot be read, are not those that were acknowledged, or no kind of media.
        """
        try:
            with self._store.db.read() as c:
                locator = blobs.get_locator(c, sha256)
            container = sniff(self._store.blobs.read(locator, 0, SNIFF_BYTES))
            self._compare(sha256, locator)
        except (NotFound, StorageFailed) as error:
            raise MediaError(f"its bytes cannot be read: {error}", retryable=True) from error
        if container is None:
            raise MediaError("it is no kind of media that longtake knows", code="media_unsupported")
        return MediaSource(
            path=self._store.blobs.path(locator), offset=locator.offset, size=locator.size_bytes, container=container
        )

    def _compare(self, sha256: str, locator: Locator) -> None:
        compared_s = self._compared_s.get(sha256)
        if compared_s is not None and time.monotonic() - compared_s < BELIEVED_S:
            return
        if self._store.blobs.digest(locator) != sha256:
            raise MediaError("the stored bytes are not those that were acknowledged")
        self._compared_s[sha256] = time.monotonic()
        if len(self._compared_s) > MAX_BELIEVED:
            self._compared_s.popitem(last=False)
