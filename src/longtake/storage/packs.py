"""Pack files: an append-only journal of records, each of which says what it is.

    record = magic "LTR1" · u32 length of head · u64 length of body · u32 CRC-32 of head · head (JSON) · body

The head names what the bytes belong to (session, track, index, start, duration, type, digest), so that the database
can be rebuilt from the packs. A duplicate, or a body kept as a file of its own, is a record without body: its head
says `"body": "elsewhere"`. A new pack is begun at each start and after each failure; nothing is ever appended behind a
torn tail, nothing written is ever changed.
"""

from __future__ import annotations

import itertools
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from longtake.storage.disk import Disk

HEADER = struct.Struct(">4sIQI")
MAGIC = b"LTR1"
ROLL_BYTES = 256 << 20
MAX_HEAD_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is appended: a head of plain JSON values and the body's parts (none: the bytes are elsewhere)."""

    head: Mapping[str, object]
    body: Sequence[bytes] = field(default=())

    @property
    def size_bytes(self) -> int:
        return sum(len(part) for part in self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A record read back: where its body lies in the pack."""

    head: dict[str, object]
    offset: int
    size_bytes: int


class PackWriter:
    """Appends to the packs of one folder; not thread-safe: its owner serialises."""

    def __init__(self, folder: Path, disk: Disk, *, roll_bytes: int = ROLL_BYTES) -> None:
        self.folder = folder
        self._disk = disk
        self._roll_bytes = roll_bytes
        self._fd: int | None = None
        self._name = ""
        self._end = 0
        folder.mkdir(parents=True, exist_ok=True)

    def append(self, records: Sequence[Record]) -> tuple[str, list[int]]:
        """Append records and flush; returns the pack's name and where each body begins.

        Raises:
            StorageFull, StorageFailed: Nothing of it counts; the next append begins a new pack.
        """
        fd = self._open()
        parts: list[bytes] = []
        offsets: list[int] = []
        end = self._end
        for record in records:
            head = json.dumps(record.head, separators=(",", ":")).encode()
            size = record.size_bytes
            parts.append(HEADER.pack(MAGIC, len(head), size, zlib.crc32(head)) + head)
            end += HEADER.size + len(head)
            offsets.append(end)
            parts.extend(record.body)
            end += size
        try:
            self._disk.write_all(fd, parts)
            self._disk.flush(fd)
        except BaseException:
            self.close()
            raise
        self._end = end
        if end >= self._roll_bytes:
            name = self._name
            self.close()
            return name, offsets
        return self._name, offsets

    def close(self) -> None:
        """Finish the pack; the next append begins another."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> int:
        if self._fd is not None:
            return self._fd
        last = max((int(path.stem) for path in self.folder.glob("*.pack")), default=0)
        for number in itertools.count(last + 1):
            path = self.folder / f"{number:08d}.pack"
            if not path.exists():
                break
        fd = self._disk.create(path)
        try:
            self._disk.flush_folder(self.folder)
        except BaseException:
            os.close(fd)
            raise
        self._fd, self._name, self._end = fd, path.name, 0
        return fd


def scan(path: Path) -> Iterator[Found]:
    """Read the records of a pack in order, up to its end or a torn tail."""
    size = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while at + HEADER.size <= size:
            file.seek(at)
            magic, head_size, body_size, crc = HEADER.unpack(file.read(HEADER.size))
            body_at = at + HEADER.size + head_size
            if magic != MAGIC or head_size > MAX_HEAD_BYTES or body_at + body_size > size:
                return
            head = file.read(head_size)
            if zlib.crc32(head) != crc:
                return
            yield Found(head=json.loads(head), offset=body_at, size_bytes=body_size)
            at = body_at + body_size
