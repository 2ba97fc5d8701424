"""MP4 around AAC blocks: initialisation and fragments for HLS, one progressive header for a download.

The payload is never touched: a fragment is a few hundred bytes in front of a block, a file is a header in front of all
blocks. Priming is cut by an edit list, the encoder's padding by the last sample's duration, so both have the
recording's exact length. All durations count samples of 48 kHz, in 64 bits.

Source: ISO/IEC 14496-12 (boxes), 14496-14 §5.6 (mp4a, esds), 14496-3 §1.6.2.1 (AudioSpecificConfig).
"""

from __future__ import annotations

import struct
from functools import partial

import numpy as np
from numpy.typing import NDArray

from longtake.media.blocks import BIT_RATE, BLOCK_FRAMES, FRAME, frame_count
from longtake.model.timeline import RATE_HZ

_PRIMING = FRAME
_TRACK_ID = 1
_UNITY_MATRIX = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_LANGUAGE_UND = 0x55C4
_SAMPLE_IS_SYNC = 0x02000000
_MAX_32 = 0xFFFFFFFF
_LARGEST_HEADER_BYTES = 1 << 28


def init_segment(channels: int) -> bytes:
    """What HLS names in EXT-X-MAP: the track's description, without samples."""
    empty = b"".join(_full(name, b"\0" * 4) for name in (b"stts", b"stsc"))
    tables = empty + _full(b"stsz", b"\0" * 8) + _full(b"stco", b"\0" * 4)
    extends = _box(b"mvex", _full(b"trex", struct.pack(">5I", _TRACK_ID, 1, FRAME, 0, _SAMPLE_IS_SYNC)))
    brands = b"iso6\0\0\2\0iso6mp41hlsf"
    return _box(b"ftyp", brands) + _moov(channels, tables, media_samples=0, total_samples=0, extends=extends)


def fragment(sequence: int, first_frame: int, sizes: NDArray[np.uint16]) -> bytes:
    """What stands in front of a block's payload: `moof` and the header of `mdat`.

    Args:
        sequence: The fragment's number, from 1.
        first_frame: Number of its first frame on the grid.
        sizes: Bytes per frame.
    """
    n = len(sizes)
    header = _full(b"mfhd", struct.pack(">I", sequence))
    track = _full(b"tfhd", struct.pack(">I", _TRACK_ID), flags=0x020000)  # offsets count from this moof
    time = _full(b"tfdt", struct.pack(">Q", first_frame * FRAME), version=1)
    run_bytes = 8 + 4 + 8 + 4 * n
    moof_bytes = 8 + len(header) + 8 + len(track) + len(time) + run_bytes
    run = _full(b"trun", struct.pack(">II", n, moof_bytes + 8), sizes.astype(">u4").tobytes(), flags=0x000201)
    return _box(b"moof", header, _box(b"traf", track, time, run)) + _mdat_header(int(sizes.sum(dtype=np.int64)))


def progressive_header(sizes: NDArray[np.uint16], *, total_samples: int, channels: int) -> bytes:
    """Everything in front of the joined payloads of all blocks: together they are a faststart M4A.

    Args:
        sizes: Bytes per frame of the whole recording.
        total_samples: Its length per channel.
        channels: 1 or 2.

    Returns:
        `ftyp`, `moov` and the header of `mdat`, whose payload then follows.

    Raises:
        ValueError: There are no frames, or not those of so many samples.
    """
    frames, media_samples = len(sizes), total_samples + _PRIMING
    if not frames or frames != frame_count(total_samples):
        raise ValueError(f"{frames} frames are not {total_samples} samples")
    ftyp = _box(b"ftyp", b"M4A \0\0\2\0M4A mp42isom")
    mdat = _mdat_header(int(sizes.sum(dtype=np.int64)))

    last = media_samples - (frames - 1) * FRAME
    durations = [(count, length) for count, length in ((frames - 1, FRAME), (1, last)) if count]
    chunks = _chunks(frames)
    stts = _full(b"stts", struct.pack(">I", len(durations)), *(struct.pack(">II", *entry) for entry in durations))
    stsc = _full(b"stsc", struct.pack(">I", len(chunks)), *(struct.pack(">III", *entry) for entry in chunks))
    stsz = _full(b"stsz", struct.pack(">II", 0, frames), sizes.astype(">u4").tobytes())

    ends = np.cumsum(np.add.reduceat(sizes, np.arange(0, frames, BLOCK_FRAMES), dtype=np.int64))
    starts = np.concatenate([[0], ends[:-1]])
    name, width = (b"co64", 8) if ends[-1] > _MAX_32 - _LARGEST_HEADER_BYTES else (b"stco", 4)
    movie = partial(_moov, channels, media_samples=media_samples, total_samples=total_samples)
    tables_bytes = len(stts) + len(stsc) + len(stsz) + 16 + width * len(starts)
    moov = movie(b"", behind=tables_bytes)
    offsets = (starts + len(ftyp) + len(moov) + tables_bytes + len(mdat)).astype(f">u{width}")
    places = _full(name, struct.pack(">I", len(offsets)), offsets.tobytes())
    return b"".join((ftyp, moov, stts, stsc, stsz, places, mdat))


def _chunks(frames: int) -> list[tuple[int, int, int]]:
    """`stsc`: a chunk per block, the last one shorter (first chunk, frames in it, sample description)."""
    full, rest = divmod(frames, BLOCK_FRAMES)
    entries = [(1, BLOCK_FRAMES, 1)] if full else []
    return [*entries, (full + 1, rest, 1)] if rest else entries


def _moov(
    channels: int, tables: bytes, *, media_samples: int, total_samples: int, extends: bytes = b"", behind: int = 0
) -> bytes:
    """The movie's description; its only track plays from behind the priming.

    Large tables need not be copied from box to box: with `behind`, so many bytes of them follow what is returned.
    """
    mvhd = struct.pack(">QQIQIH10x", 0, 0, RATE_HZ, total_samples, 0x10000, 0x100) + _UNITY_MATRIX
    tkhd = struct.pack(">QQIIQ8xHHH2x", 0, 0, _TRACK_ID, 0, total_samples, 0, 0, 0x100) + _UNITY_MATRIX + b"\0" * 8
    elst = struct.pack(">IQqI", 1, total_samples, _PRIMING, 0x10000)
    mdhd = struct.pack(">QQIQHH", 0, 0, RATE_HZ, media_samples, _LANGUAGE_UND, 0)
    hdlr = struct.pack(">I4s12x", 0, b"soun") + b"longtake\0"
    data = _box(b"dinf", _full(b"dref", struct.pack(">I", 1), _full(b"url ", flags=1)))
    stbl = _box(b"stbl", _full(b"stsd", struct.pack(">I", 1), _mp4a(channels)), tables, behind=behind)
    minf = _box(b"minf", _full(b"smhd", b"\0" * 4), data, stbl, behind=behind)
    mdia = _box(b"mdia", _full(b"mdhd", mdhd, version=1), _full(b"hdlr", hdlr), minf, behind=behind)
    edits = _box(b"edts", _full(b"elst", elst, version=1))
    trak = _box(b"trak", _full(b"tkhd", tkhd, version=1, flags=3), edits, mdia, behind=behind)
    head = _full(b"mvhd", mvhd, b"\0" * 24, struct.pack(">I", _TRACK_ID + 1), version=1)
    return _box(b"moov", head, trak, extends, behind=behind)


def _mp4a(channels: int) -> bytes:
    """The sample entry: AAC-LC at 48 kHz (frequency index 3)."""
    config = struct.pack(">H", 2 << 11 | 3 << 7 | channels << 3)
    decoder = struct.pack(">BBBHII", 0x40, 0x15, 0, 6144 // 8 * channels, 2 * BIT_RATE[channels], BIT_RATE[channels])
    stream = b"\0\0\0" + _descriptor(4, decoder + _descriptor(5, config)) + _descriptor(6, b"\2")
    entry = struct.pack(">6xH8xHH4xI", 1, channels, 16, RATE_HZ << 16)
    return _box(b"mp4a", entry, _full(b"esds", _descriptor(3, stream)))


def _descriptor(tag: int, payload: bytes) -> bytes:
    return bytes((tag, len(payload))) + payload


def _mdat_header(payload_bytes: int) -> bytes:
    if payload_bytes + 8 <= _MAX_32:
        return struct.pack(">I4s", payload_bytes + 8, b"mdat")
    return struct.pack(">I4sQ", 1, b"mdat", payload_bytes + 16)


def _box(name: bytes, *parts: bytes, behind: int = 0) -> bytes:
    """A box; its size counts so many bytes more that follow what is returned."""
    size = 8 + sum(map(len, parts)) + behind
    return b"".join((struct.pack(">I4s", size, name), *parts))


def _full(name: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    return _box(name, struct.pack(">I", version << 24 | flags), *parts)
