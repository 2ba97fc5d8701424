"""Files to take away that are not blocks: WAV by range, without a file; MP3 in one pass, with its exact length.

Source: RFC 2361 (WAVE), EBU Tech 3306 (RF64), "MP3 Info Tag rev 1" (http://gabriel.mp3-tech.org/mp3infotag.html).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from longtake.model.timeline import RATE_HZ

Read = Callable[[int, int], NDArray[np.float32]]
"""Samples [from, to) as (channels, to - from)."""

_SAMPLE_BYTES = 2
_STEP_SAMPLES = RATE_HZ
_MAX_32 = 0xFFFFFFFF

MP3_BIT_RATE = {1: 64_000, 2: 128_000}
_MP3_FRAME = 1152
_MP3_DELAY = 576
"""LAME's own delay; every decoder adds 529."""
_MP3_QUALITY = 5
_INFO_TAG_SIDE = {1: 17, 2: 32}


def pcm16(pcm: NDArray[np.float32]) -> bytes:
    """Interleaved little-endian 16-bit samples of (channels, n): halves to even, full scale clipped.

    Samples that came from 16 bits return to the very same ones.
    """
    scaled: NDArray[np.float32] = np.clip(np.rint(pcm * np.float32(32768)), -32768, 32767)
    return scaled.T.astype("<i2").tobytes()


def wav_header(total_samples: int, *, channels: int, rate_hz: int) -> bytes:
    """The header of a 16-bit WAV; RF64 where the sizes need more than 32 bits."""
    frame = channels * _SAMPLE_BYTES
    data_bytes = total_samples * frame
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate_hz, rate_hz * frame, frame, 8 * _SAMPLE_BYTES)
    if data_bytes + 36 <= _MAX_32:
        return (
            struct.pack("<4sI4s", b"RIFF", data_bytes + 36, b"WAVE") + form + struct.pack("<4sI", b"data", data_bytes)
        )
    sizes = struct.pack("<4sIQQQI", b"ds64", 28, data_bytes + 72, data_bytes, total_samples, 0)
    return struct.pack("<4sI4s", b"RF64", _MAX_32, b"WAVE") + sizes + form + struct.pack("<4sI", b"data", _MAX_32)


def wav_size(total_samples: int, *, channels: int, rate_hz: int) -> int:
    """Bytes of the whole WAV."""
    header = wav_header(total_samples, channels=channels, rate_hz=rate_hz)
    return len(header) + total_samples * channels * _SAMPLE_BYTES


def wav_range(
    read: Read, from_byte: int, to_byte: int, *, total_samples: int, channels: int, rate_hz: int
) -> Iterator[bytes]:
    """The bytes [from, to) of the WAV that `read` would make, at most a second of sound at a time."""
    header = wav_header(total_samples, channels=channels, rate_hz=rate_hz)
    if from_byte < len(header):
        yield header[from_byte:to_byte]
    frame = channels * _SAMPLE_BYTES
    a, b = max(0, from_byte - len(header)), min(to_byte - len(header), total_samples * frame)
    while a < b:
        first = a // frame
        last = min(first + _STEP_SAMPLES, -(-b // frame))
        data = pcm16(read(first, last))
        yield data[a - first * frame : b - first * frame]
        a = last * frame


def encode_mp3(
    read: Read, *, total_samples: int, channels: int, progress: Callable[[float], None] = lambda _: None
) -> Iterator[bytes]:
    """An MP3 of a recording at 48 kHz, piece by piece, with an Info tag in front: players hear its exact length.

    Args:
        read: The recording's samples at 48 kHz.
        total_samples: Its length.
        channels: 1 or 2.
        progress: Told the share that is done, in (0, 1], after each piece.
    """
    import lameenc

    encoder = lameenc.Encoder()
    encoder.set_bit_rate(MP3_BIT_RATE[channels] // 1000)
    encoder.set_in_sample_rate(RATE_HZ)
    encoder.set_channels(channels)
    encoder.set_quality(_MP3_QUALITY)
    encoder.silence()
    yield mp3_info_frame(total_samples, channels=channels)
    for first in range(0, total_samples, 10 * _STEP_SAMPLES):
        last = min(first + 10 * _STEP_SAMPLES, total_samples)
        yield bytes(encoder.encode(pcm16(read(first, last))))
        progress(last / total_samples)
    yield bytes(encoder.flush())


def mp3_frames(total_samples: int) -> tuple[int, int]:
    """(frames, padding) of what LAME makes of that many samples: it pads at least half a frame, to a whole one."""
    behind = total_samples + _MP3_DELAY
    padding = _MP3_FRAME - behind % _MP3_FRAME
    if padding < _MP3_FRAME // 2:
        padding += _MP3_FRAME
    return (behind + padding) // _MP3_FRAME, padding


def mp3_info_frame(total_samples: int, *, channels: int) -> bytes:
    """The silent first frame that tells length, delay and padding: lameenc leaves it out."""
    bit_rate = MP3_BIT_RATE[channels]
    size = _MP3_FRAME // 8 * bit_rate // RATE_HZ
    frames, padding = mp3_frames(total_samples)
    size_bytes = min((frames + 1) * size, _MAX_32)  # the tag has no more room: 74 h of stereo
    bit_rate_index = {64_000: 5, 128_000: 9}[bit_rate]
    frame = bytearray(size)
    frame[:4] = bytes((0xFF, 0xFB, bit_rate_index << 4 | 1 << 2, 0xC4 if channels == 1 else 0x04))
    tag = 4 + _INFO_TAG_SIDE[channels]
    everything = 0b1111
    struct.pack_into(">4s3I", frame, tag, b"Info", everything, frames, size_bytes)
    frame[tag + 16 : tag + 116] = bytes(point * 256 // 100 for point in range(100))
    lame = tag + 120
    frame[lame : lame + 10] = b"LAME3.100\x01"
    struct.pack_into(">I", frame, lame + 20, bit_rate // 1000 << 24 | _MP3_DELAY << 12 | padding)
    struct.pack_into(">I", frame, lame + 28, size_bytes)
    struct.pack_into(">H", frame, lame + 34, _crc16(frame[: lame + 34]))
    return bytes(frame)


def _crc16(data: bytes | bytearray) -> int:
    """CRC-16/ARC, as the tag wants it."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc
