"""Pack files: an append-only journal of records, each of which says what it is.

    record = magic "LTR1" · u32 length of head · u64 length of body · u32 CRC-32 of head · head (JSON) · body

The head names what the bytes belong to (session, track, index, start, duration, type, digest), so that the database
can be rebuilt from the packs. A duplicate, or a body kept as a file of its own, is a record without body: its head
says `"body": "elsewhere"`. A new pack is begun at each start and after each failure; nothing is ever appended behind a
torn tail, nothing written is ever changed.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from longtake.storage.disk import Disk

HEADER = struct.Struct(">4sIQI")
MAGIC = b"LTR1"
ROLL_BYTES = 256 << 20
MAX_HEAD_BYTES = 1 << 16
READ_BYTES = 1 << 20
"""How much is read at a time."""
AS_JSON = json.JSONEncoder(separators=(",", ":"))
ELSEWHERE = "elsewhere"
"""The `body` in a head whose bytes do not follow it."""
SEGMENT = "segment"
BODY = "body"
"""The `kind` of bytes that were moved apart from what names them."""
PURGED = "purged"
AUDIO_DELETED = "audio-deleted"
TOMBSTONES = frozenset({PURGED, AUDIO_DELETED})
"""The `kind` of what was deleted: a session, or its recordings."""


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
        self.last = 0
        """The highest number that was ever given to a pack of these, as far as is known."""
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
            head = AS_JSON.encode(record.head).encode()
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

    @property
    def current(self) -> str | None:
        """The pack that the next append goes to, if it was begun."""
        return None if self._fd is None else self._name

    def close(self) -> None:
        """Finish the pack; the next append begins another."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> int:
        if self._fd is not None:
            about = os.fstat(self._fd)
            if about.st_nlink and about.st_size == self._end:
                return self._fd
            self.close()  # somebody has removed or cut it: what is appended would be lost with it
        # A number is never used again, also when its pack has been collected: somebody may still know it.
        last = max((int(path.stem) for path in self.folder.glob("*.pack")), default=0)
        last = max(last, self.last)
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
        self._fd, self._name, self._end, self.last = fd, path.name, 0, number
        return fd


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A stretch of a pack that is no record. A `is_tail` is what a cut write leaves: it was never acknowledged."""

    offset: int
    size_bytes: int
    is_tail: bool


def scan(path: Path) -> Iterator[Found]:
    """Read the records of a pack in order; what is damaged between them is passed over."""
    return (one for one in survey(path) if isinstance(one, Found))


def survey(path: Path) -> Iterator[Found | Broken]:
    """Read the records of a pack in order, and say where there is none: behind damage the next one is searched for."""
    size = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while at < size:
            found = _read_record(file, at, size)
            if found is None:
                start, at = at, _next_record(file, at + 1, size)
                yield Broken(offset=start, size_bytes=at - start, is_tail=at == size)
            else:
                yield found
                at = found.offset + found.size_bytes


def _read_record(file: BinaryIO, at: int, size: int) -> Found | None:
    """The record at an offset, or None where there is no whole one."""
    file.seek(at)
    header = file.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    magic, head_size, body_size, crc = HEADER.unpack(header)
    if magic != MAGIC or head_size > MAX_HEAD_BYTES:
        return None
    head_bytes = file.read(head_size)
    if len(head_bytes) < head_size or zlib.crc32(head_bytes) != crc:
        return None
    try:
        head = json.loads(head_bytes)
    except (ValueError, RecursionError):
        return None
    if not isinstance(head, dict):
        return None
    # The CRC guards the head alone: where that says how long the body is, a damaged length does no harm.
    if head.get("body") == ELSEWHERE:
        body_size = 0
    elif isinstance(head.get("size"), int):
        body_size = head["size"]
    body_at = at + HEADER.size + head_size
    if body_size < 0 or body_at + body_size > size:  # no record of ours: a body may hold anything
        return None
    return Found(head=head, offset=body_at, size_bytes=body_size)


def _next_record(file: BinaryIO, at: int, size: int) -> int:
    """Where the next whole record begins, or the end."""
    while at < size:
        file.seek(at)
        part = file.read(READ_BYTES)
        found = part.find(MAGIC)
        if found < 0:
            at += max(1, len(part) - len(MAGIC) + 1)
        elif _read_record(file, at + found, size) is not None:
            return at + found
        else:
            at += found + 1
    return size


def digest_of(path: Path, offset: int, size_bytes: int) -> str:
    """SHA-256 of a stretch of a file, in hex."""
    digest = hashlib.sha256()
    for part in pieces(path, offset, size_bytes):
        digest.update(part)
    return digest.hexdigest()


def pieces(path: Path, offset: int, size_bytes: int) -> Iterator[bytes]:
    """A stretch of a file, a piece at a time; shorter where the file is."""
    with path.open("rb") as file:
        file.seek(offset)
        while size_bytes > 0 and (part := file.read(min(READ_BYTES, size_bytes))):
            yield part
            size_bytes -= len(part)
