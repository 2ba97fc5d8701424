"""What kind of file the first bytes announce: magic numbers only, nothing is decoded.

Belongs here: telling containers apart in the server process. Does not: whether the file holds sound, which only its
decoding in the sandbox tells.
"""

from __future__ import annotations

from enum import Enum

SNIFF_BYTES = 4096
"""How much of a file's head `sniff` looks at."""

_ID3_HEADER_BYTES = 10


class Container(Enum):
    """The containers that longtake reads."""

    WAV = ("wav", "audio/wav")
    FLAC = ("flac", "audio/flac")
    MP3 = ("mp3", "audio/mpeg")
    ADTS = ("aac", "audio/aac")
    MP4 = ("mp4", "audio/mp4")
    OGG = ("ogg", "audio/ogg")
    MATROSKA = ("matroska", "audio/x-matroska")
    WEBM = ("webm", "audio/webm")

    def __init__(self, ffmpeg_format: str, mime_type: str) -> None:
        self.ffmpeg_format = ffmpeg_format
        self.mime_type = mime_type


def sniff(head: bytes) -> Container | None:
    """Tell the container from a file's first bytes (`SNIFF_BYTES` are enough); None if it is none that we read.

    Source: the formats' own magic numbers (RFC 9639 §8, RFC 9559 §11, RFC 3533 §6, ISO/IEC 14496-12 §4.3,
        EBU Tech 3306 for RF64, ISO/IEC 11172-3 §2.4.2.3, ISO/IEC 14496-3 §1.A.2).
    """
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return Container.WAV
    if head[:4] == b"OggS":
        return Container.OGG
    if head[4:8] == b"ftyp":
        return Container.MP4
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return Container.WEBM if b"\x42\x82\x84webm" in head[:SNIFF_BYTES] else Container.MATROSKA
    if head[:3] == b"ID3":
        return _raw(_behind_id3(head)) or Container.MP3
    return _raw(head)


def _behind_id3(head: bytes) -> bytes:
    """What follows an ID3v2 tag, as far as it lies within the head (the size is "syncsafe": 7 bits a byte)."""
    size = 0
    for byte in head[6:_ID3_HEADER_BYTES]:
        size = size << 7 | byte & 0x7F
    return head[_ID3_HEADER_BYTES + size :]


def _raw(head: bytes) -> Container | None:
    """Formats without a container of their own: a FLAC marker, or the 12 sync bits of MPEG audio and ADTS."""
    if head[:4] == b"fLaC":
        return Container.FLAC
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:
        return Container.ADTS
    is_layer_3 = head[1] & 0x06 == 0x02
    has_version, has_bit_rate, has_rate = head[1] & 0x18 != 0x08, head[2] & 0xF0 != 0xF0, head[2] & 0x0C != 0x0C
    return Container.MP3 if is_layer_3 and has_version and has_bit_rate and has_rate else None
