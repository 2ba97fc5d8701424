"""Bytes that were asked for lately, kept in memory: a bounded LRU cache, thread-safe."""

from __future__ import annotations

import threading
from collections import OrderedDict

MAX_ITEM_BYTES = 1 << 20
"""What is larger is read from the disk each time, a piece at a time."""


class ByteCache:
    """Digest → bytes, at most so many of them in all."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._size_bytes = 0
        self._age = 0

    @property
    def size_bytes(self) -> int:
        """How much is kept."""
        return self._size_bytes

    @property
    def age(self) -> int:
        """How often everything was forgotten: to be asked before reading what is to be kept."""
        return self._age

    def takes(self, size_bytes: int) -> bool:
        """Whether bytes of that length may be kept."""
        return size_bytes <= min(MAX_ITEM_BYTES, self._limit_bytes)

    def get(self, sha256: str) -> bytes | None:
        """The bytes of a digest, if they are kept."""
        with self._lock:
            data = self._kept.get(sha256)
            if data is not None:
                self._kept.move_to_end(sha256)
            return data

    def put(self, sha256: str, data: bytes, age: int) -> None:
        """Keep bytes that were read at an age; not when everything was forgotten since."""
        with self._lock:
            if age != self._age or sha256 in self._kept or not self.takes(len(data)):
                return
            self._kept[sha256] = data
            self._size_bytes += len(data)
            while self._size_bytes > self._limit_bytes:
                self._size_bytes -= len(self._kept.popitem(last=False)[1])

    def forget(self) -> None:
        """Forget everything: something was deleted."""
        with self._lock:
            self._kept.clear()
            self._size_bytes = 0
            self._age += 1
