"""Where the bytes of a segment lie and what they are, for whoever decodes them: compared with their digest before.

A bit that flipped on the disk decodes to a click, or to other words, and nobody would know. Bytes that were compared
are believed for a while, so that the lanes of a new segment read it once.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

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
        with _readable():
            locator = _locate(self._store, sha256)
            if not self._is_believed(sha256):
                _compare(self._store, sha256, locator)
                self._believe(sha256)
            container = sniff(self._store.blobs.read(locator, 0, SNIFF_BYTES))
        if container is None:
            raise MediaError("it is no kind of media that longtake knows", code="media_unsupported")
        return MediaSource(
            path=self._store.blobs.path(locator), offset=locator.offset, size=locator.size_bytes, container=container
        )

    def _is_believed(self, sha256: str) -> bool:
        compared_s = self._compared_s.get(sha256)
        return compared_s is not None and time.monotonic() - compared_s < BELIEVED_S

    def _believe(self, sha256: str) -> None:
        self._compared_s[sha256] = time.monotonic()
        if len(self._compared_s) > MAX_BELIEVED:
            self._compared_s.popitem(last=False)


def compare(store: Store, sha256: str) -> None:
    """Compare the stored bytes of a segment with their digest, whenever that was done last; raises MediaError."""
    with _readable():
        _compare(store, sha256, _locate(store, sha256))


def _compare(store: Store, sha256: str, locator: Locator) -> None:
    if store.blobs.digest(locator) != sha256:
        raise MediaError("the stored bytes are not those that were acknowledged")


def _locate(store: Store, sha256: str) -> Locator:
    with store.db.read() as c:
        return blobs.get_locator(c, sha256)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (NotFound, StorageFailed) as error:
        raise MediaError(f"its bytes cannot be read: {error}", retryable=True) from error
