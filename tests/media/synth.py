"""Recordings made for the tests: a known sound in every container that longtake reads."""

import io
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from longtake.media.probe import Container
from longtake.media.sandbox import MediaSource

RATE_HZ = 48_000
DATA = Path(__file__).resolve().parent.parent / "data"


def tone(samples, *, channels=2, rate_hz=RATE_HZ, seed=0):
    """Speech-like sound of (channels, samples): moving partials, a little noise, different on both sides."""
    t = np.arange(samples) / rate_hz
    dice = np.random.default_rng(seed)
    rows = []
    for channel in range(channels):
        sweep = np.sin(2 * np.pi * (180 + 40 * channel + 20 * np.sin(2 * np.pi * 0.7 * t)) * t)
        partial = np.sin(2 * np.pi * 1375 * t + channel) * (0.5 + 0.5 * np.sin(2 * np.pi * 3 * t))
        rows.append(0.25 * sweep + 0.1 * partial + 0.005 * dice.standard_normal(samples))
    return np.stack(rows).astype(np.float32)


def quantised(pcm, bits):
    """The samples as an integer format of that many bits holds them."""
    scale = 2.0 ** (bits - 1)
    return (np.rint(pcm.astype(np.float64) * scale) / scale).astype(np.float32)


def wav(pcm, *, rate_hz=RATE_HZ, bits=16, size=None):
    """A WAV of (channels, n); `bits` of 32 are floats. `size` is what its header claims."""
    samples = pcm.T
    if bits == 32:
        data, tag = samples.astype("<f4").tobytes(), 3
    else:
        whole = np.rint(samples.astype(np.float64) * 2 ** (bits - 1)).astype("<i4")
        raw = whole.reshape(-1, 1).view(np.uint8)
        data = raw[:, : bits // 8].tobytes()
        tag = 1
    frame = len(pcm) * bits // 8
    claimed = len(data) if size is None else size
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, tag, len(pcm), rate_hz, rate_hz * frame, frame, bits)
    riff = struct.pack("<4sI4s", b"RIFF", min(claimed + 36, 0xFFFFFFFF), b"WAVE")
    return riff + form + struct.pack("<4sI", b"data", claimed) + data


def encoded(pcm, *, container, codec, rate_hz=RATE_HZ, sample_format=None, streams=1, **options):
    """(channels, n) by FFmpeg's encoder and muxer of those names."""
    file = io.BytesIO()
    layout = "mono" if len(pcm) == 1 else "stereo" if len(pcm) == 2 else "5.1"
    with av.open(file, "w", format=container, options=options) as out:
        tracks = [out.add_stream(codec, rate=rate_hz, layout=layout) for _ in range(streams)]
        for stream in tracks:
            if sample_format:
                stream.format = sample_format
        for stream in tracks:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm), format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                out.mux(packet)
    return file.getvalue()


LOSSY = {
    "mp3": (Container.MP3, "mp3", "libmp3lame"),
    "m4a": (Container.MP4, "ipod", "aac"),
    "ogg opus": (Container.OGG, "ogg", "libopus"),
    "webm opus": (Container.WEBM, "webm", "libopus"),
}


def source(folder, data, container, *, before=b"", name="media"):
    """A file of those bytes, or a range of one with something before and after."""
    path = folder / name
    path.write_bytes(before + data + before)
    return MediaSource(path=path, offset=len(before), size=len(data), container=container)


def decode(sandbox, media):
    """All of a file's samples, and its decoding."""
    with sandbox.open(media) as decoding:
        return np.concatenate(list(decoding), axis=1), decoding


def snr_db(reference, heard):
    """How far a signal stands above its difference from the other."""
    error = float(np.square(heard.astype(np.float64) - reference).sum())
    return 10 * np.log10(float(np.square(reference.astype(np.float64)).sum()) / max(error, 1e-20))


def lag(reference, heard, limit=3000):
    """By how many samples the second signal comes after the first."""
    a, b = reference[0, :96_000].astype(np.float64), heard[0, :96_000].astype(np.float64)
    size = 1 << (len(a) + len(b) - 1).bit_length()
    correlation = np.fft.irfft(np.fft.rfft(b, size) * np.conj(np.fft.rfft(a, size)), size)
    return int(np.argmax(np.concatenate([correlation[-limit:], correlation[:limit]]))) - limit
