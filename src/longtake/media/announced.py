"""How long a file says it is, where its header says so: what breaks off is told from what is short.

FFmpeg guesses a length from the size of the file where no header names one; that says nothing.
"""

from __future__ import annotations

import os
import struct
from typing import Protocol

import av
import av.container

LEAST_PLACEHOLDER = 0x7FFF_0000
"""From so many bytes on a WAV's length may be what a recorder writes that does not know it yet."""
MAX_BOXES = 64
XING = (b"Xing", b"Info")


class Readable(Protocol):
    """A file."""

    def read(self, n: int = -1, /) -> bytes: ...

    def seek(self, to: int, whence: int = ..., /) -> int: ...


def announced_s(
    file: Readable, ffmpeg_format: str, container: av.container.InputContainer, stream: av.AudioStream
) -> float | None:
    """The length in seconds that the header names; None where it names none."""
    codec = stream.codec_context
    if ffmpeg_format == "wav":
        size_bytes = wav_data_bytes(file)
        byte_rate = codec.bit_rate or 0
        return None if size_bytes is None or not byte_rate else size_bytes * 8 / byte_rate
    if ffmpeg_format == "mp3" and not has_xing(file):
        return None
    if ffmpeg_format in ("webm", "matroska"):  # the length is that of all streams
        return container.duration / av.time_base if container.duration and len(container.streams) == 1 else None
    if ffmpeg_format in ("flac", "mp3", "mp4") and stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return None


def wav_data_bytes(file: Readable) -> int | None:
    """The size of a WAV's data as its header names it; None where that is a placeholder, or there is none."""
    end = file.seek(0, os.SEEK_END)
    at, found = 12, None
    while at + 8 <= end and found is None:
        file.seek(at)
        name, size = struct.unpack("<4sI", file.read(8))
        if name == b"data":
            found = size
        at += 8 + size + size % 2
    return found if found is not None and 0 < found < LEAST_PLACEHOLDER else None


def has_xing(file: Readable) -> bool:
    """Whether the first frame of an MP3 says how many there are."""
    file.seek(0)
    head = file.read(10)
    at = 0
    if head[:3] == b"ID3" and len(head) == 10:
        at = 10 + sum(byte << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    file.seek(at)
    frame = file.read(48)
    return any(name in frame for name in XING)


def lacks_index(file: Readable) -> bool:
    """Whether an MP4 breaks off before its index, without which nothing in it can be found."""
    end = file.seek(0, os.SEEK_END)
    at = 0
    for _ in range(MAX_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            break
        size, name = struct.unpack(">I4s", head[:8])
        if size == 1 and len(head) == 16:
            (size,) = struct.unpack(">Q", head[8:])
        if name == b"moov" or not size:
            break
        at += max(size, 8)
    return at > end
