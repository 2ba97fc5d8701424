"""CPU of all media work on 30 minutes in 50 segments, beside one run of ffmpeg over the same files.

Ours: decoding in the sandbox, levels, joining, resampling, blocks, peaks; children included. Theirs: concatenation and
one AAC encode with the same number of channels and bit rate.
"""

import os
import resource
import shutil
import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.figures import Figure
from longtake.media.blocks import BIT_RATE, block_count, encode_block, input_span
from longtake.media.decoded import DecodedSegments
from longtake.media.probe import Container
from longtake.media.sandbox import MediaSource, Sandbox
from longtake.media.timeline_pcm import CONTEXT_NS, TrackPcm
from longtake.model.timeline import RATE_HZ, Place, Placed, ns_to_samples

SEGMENTS, SEGMENT_S = 50, 36
TARGET = "≤ 1.5"


def run(smoke: bool = False) -> list[Figure]:
    """The ratio for mono and stereo at 48 kHz, and for 44.1 kHz, which must be resampled."""
    segments = 2 if smoke else SEGMENTS
    return [
        ratio("30 min stereo at 48 kHz: media CPU / ffmpeg", segments=segments, channels=2, rate_hz=48_000),
        ratio("30 min mono at 48 kHz: media CPU / ffmpeg", segments=segments, channels=1, rate_hz=48_000),
        ratio("30 min stereo at 44.1 kHz: media CPU / ffmpeg", segments=segments, channels=2, rate_hz=44_100),
    ]


def ratio(name: str, *, segments: int, channels: int, rate_hz: int) -> Figure:
    """Ours over theirs, on the same files."""
    if shutil.which("ffmpeg") is None:
        return Figure(name=name, value=None, target=TARGET, unit="×", detail="ffmpeg is missing")
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{i:03}.wav") for i in range(segments)]
        for number, file in enumerate(files):
            write_wav(file, sound(number, channels, rate_hz), rate_hz)
        theirs_s = ffmpeg_cpu_s(files, channels)
        ours_s = our_cpu_s(files, channels, rate_hz)
    detail = f"{ours_s:.2f} s / {theirs_s:.2f} s for {segments} segments of {SEGMENT_S} s"
    return Figure(name=name, value=ours_s / theirs_s, target=TARGET, unit="×", detail=detail)


def our_cpu_s(files: list[Path], channels: int, rate_hz: int) -> float:
    """CPU seconds, user and system, of this process and its sandbox."""
    start = cpu_s()
    with Sandbox() as sandbox, DecodedSegments(sandbox, lambda name: media_source(Path(name))) as segments:
        placed: list[Placed] = []
        offset = done = 0
        for index, file in enumerate(files):
            samples = segments.open(str(file)).advance(1 << 62)
            place = Place(take_start_ns=0, take_offset=offset, rate_hz=rate_hz)
            placed.append(Placed(index=index, sha256=str(file), place=place, samples=samples, channels=channels))
            offset += samples
            track = TrackPcm(placed, segments, rate_hz=RATE_HZ, channels=channels)
            final = track.length_samples - ns_to_samples(CONTEXT_NS, RATE_HZ)
            while input_span(done, None)[1] <= final:  # what the lane does while a recording grows
                encode_block(track.read, block=done, channels=channels, total_samples=None)
                done += 1
        total = track.length_samples
        for block in range(done, block_count(total)):
            encode_block(track.read, block=block, channels=channels, total_samples=total)
    assert total == len(files) * SEGMENT_S * RATE_HZ
    return cpu_s() - start


def ffmpeg_cpu_s(files: list[Path], channels: int) -> float:
    """CPU seconds of one ffmpeg that joins the files and encodes them once."""
    listing = files[0].with_name("list.txt")
    listing.write_text("".join(f"file '{file}'\n" for file in files))
    out = files[0].with_name("out.m4a")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = ["ffmpeg", "-v", "error", "-f", "concat", "-safe", "0", "-i", str(listing), "-ar", str(RATE_HZ)]
    subprocess.run([*command, "-c:a", "aac", "-b:a", str(BIT_RATE[channels]), str(out)], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def cpu_s() -> float:
    """CPU seconds of this process and of all children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def media_source(file: Path) -> MediaSource:
    """A whole WAV file."""
    return MediaSource(path=file, offset=0, size=file.stat().st_size, container=Container.WAV)


def sound(seed: int, channels: int, rate_hz: int) -> NDArray[np.int16]:
    """Moving partials, syllables and noise: work for an encoder, as speech is. (n, channels)."""
    t = np.arange(SEGMENT_S * rate_hz) / rate_hz
    dice = np.random.default_rng(seed)
    voice = sum(np.sin(2 * np.pi * k * (120 + seed) * t + 3 * np.sin(2 * np.pi * 0.9 * t)) / k for k in range(1, 12))
    syllables = np.clip(np.sin(2 * np.pi * 3.1 * t) + 0.3, 0, 1)
    rows = [voice * syllables * (0.15 - 0.03 * c) + 0.004 * dice.standard_normal(len(t)) for c in range(channels)]
    return np.rint(np.stack(rows, axis=1) * 32767 * 0.8).clip(-32768, 32767).astype(np.int16)


def write_wav(file: Path, samples: NDArray[np.int16], rate_hz: int) -> None:
    """Write 16-bit PCM."""
    with wave.open(str(file), "wb") as out:
        out.setnchannels(samples.shape[1])
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes(samples.tobytes())
