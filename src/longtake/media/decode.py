"""Hostile bytes to PCM: what the disposable child of the sandbox does, and nothing else imports.

One audio stream, native rate, at most two channels. Encoder delay and padding are cut where the container declares
them. What comes before damage is kept; a packet that fails inside a file becomes silence of its own length, so that
what follows keeps its place.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any, NoReturn

import av
import av.container
import numpy as np
from av.codec.context import Flags2
from numpy.typing import NDArray

from longtake.media.announced import announced_s, lacks_index
from longtake.media.sandbox_wire import MAX_RATE_HZ, MIN_RATE_HZ, Job
from longtake.model.errors import MediaError

Pcm = NDArray[np.float32]
Frames = Iterator[tuple[Pcm, int | None]]
"""Samples, each array with the length that its packet declares."""

CODECS = frozenset({"aac", "adpcm_ima_wav", "adpcm_ms", "alac", "flac", "mp3", "mp3float", "opus", "libopus", "vorbis"})
"""Decoders that may run, beside all of PCM."""

BATCH_SAMPLES = 32_768
IO_BYTES = 1 << 17
WAV_PACKET_BYTES = 1 << 15
"""Larger ones decode no faster and make FFmpeg's probing read more."""
MAX_SILENCE_SAMPLES = 65_536
MAX_WAV_CHUNKS = 64
MAX_32 = 0xFFFFFFFF
MIN_SHORT_S = 0.25
"""A file that is so much shorter than its header says breaks off; less may be an encoder's delay."""
COARSEST_MOVIE_HZ = 600
"""An edit list counts in ticks of the movie; a difference below one tick of the coarsest clock in use is rounding."""


class Slice:
    """A read-only file object over a range of a descriptor, which may lie inside a pack."""

    def __init__(self, fd: int, offset: int, size: int) -> None:
        self._fd, self._offset, self._size, self._at = fd, offset, size, 0

    def again(self) -> Slice:
        """The same bytes with a place of their own."""
        return Slice(self._fd, self._offset, self._size)

    def read(self, n: int = -1) -> bytes:
        left = max(0, self._size - self._at)
        data = os.pread(self._fd, left if n < 0 else min(n, left), self._offset + self._at)
        self._at += len(data)
        return data

    def seek(self, to: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + to)
        return self._at

    def tell(self) -> int:
        return self._at


class Decoder:
    """One file being decoded. `damage` is known after the last array."""

    def __init__(self, fd: int, job: Job) -> None:
        self._job = job
        self._file = Slice(fd, job.offset, job.size)
        self.damage: str | None = None
        self.rate_hz = 0
        self.channels = 0
        self._resampler: av.AudioResampler | None = None
        self._position = 0
        self._missing = 0  # samples of packets that failed since the last that did not

    def __iter__(self) -> Iterator[Pcm]:
        """Arrays of (channels, n) float32 at `rate_hz`, which is known from the first on."""
        with self._open() as container:
            stream = self._choose(container)
            announced = announced_s(self._file.again(), self._job.ffmpeg_format, container, stream)
            frames = self._frames(container, stream)
            if self._job.ffmpeg_format == "mp4":
                frames = self._cut_padding(frames, stream, rounding_hz=COARSEST_MOVIE_HZ)
            if self._is_ogg_vorbis(stream):
                stream.codec_context.flags2 |= Flags2.skip_manual
                frames = self._cut_padding(frames, stream, rounding_hz=None)
            total = 0
            for pcm in _batched(pcm for pcm, _ in frames):
                total += pcm.shape[1]
                if total > self._job.limits.duration_s * self.rate_hz:
                    raise MediaError(f"longer than {self._job.limits.duration_s} s", code="media_limit")
                yield pcm
        if announced is not None and total and announced - total / self.rate_hz > MIN_SHORT_S:
            self.damage = (
                f"the file breaks off: its header names {announced:.1f} s, {total / self.rate_hz:.1f} s are there"
            )
        if not total:
            raise MediaError(f"no sound could be decoded: {self.damage or 'the file holds none'}")

    def _open(self) -> av.container.InputContainer:
        options = {
            "format_whitelist": "mp4,mov" if self._job.ffmpeg_format == "mp4" else self._job.ffmpeg_format,
            "protocol_whitelist": "none",
            "max_streams": str(self._job.limits.streams + 1),
        }
        if self._job.ffmpeg_format == "wav":
            options |= {"ignore_length": str(int(not has_honest_sizes(self._file))), "max_size": str(WAV_PACKET_BYTES)}
        try:
            return av.open(
                self._file,
                "r",
                format=self._job.ffmpeg_format,
                container_options=options,
                buffer_size=IO_BYTES,
                io_open=_refuse,
                metadata_errors="replace",
            )
        except av.error.MemoryError:
            raise
        except (av.error.FFmpegError, ValueError, struct.error) as error:
            if self._job.ffmpeg_format == "mp4" and lacks_index(self._file.again()):
                raise MediaError("the file breaks off before its index, which tells where its sound lies") from error
            raise MediaError(f"not readable as {self._job.ffmpeg_format}: {_cause(error)}") from error

    def _choose(self, container: av.container.InputContainer) -> av.AudioStream:
        limits = self._job.limits
        if len(container.streams) > limits.streams:
            raise MediaError(f"more than {limits.streams} streams", code="media_limit")
        if not container.streams.audio:
            raise MediaError("there is no audio stream", code="media_unsupported")
        stream = container.streams.audio[0]
        codec: av.AudioCodecContext | None = stream.codec_context
        if codec is None or not (codec.name in CODECS or codec.name.startswith("pcm_")):
            name = codec.name if codec else "unknown"
            raise MediaError(f"the audio codec {name} is not allowed", code="media_unsupported")
        codec.thread_count = 1
        codec.options = {"err_detect": "crccheck"}
        return stream

    def _frames(self, container: av.container.InputContainer, stream: av.AudioStream) -> Frames:
        """Decoded frames, each with the length that its packet declares, in samples."""
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except av.error.MemoryError:
                raise
            except av.error.FFmpegError as error:
                self.damage = f"the file breaks off: {_cause(error)}"
                yield from self._decode(stream, None)
                break
            self._note_hole(stream, packet)
            yield from self._decode(stream, packet)
        yield from ((pcm, None) for pcm in self._normalise(None))

    def _note_hole(self, stream: av.AudioStream, packet: av.Packet[av.AudioStream]) -> None:
        """A FLAC frame that is damaged never becomes a packet; the number of the next one tells what is missing."""
        if self._position and stream.codec_context.name == "flac" and packet.pts and packet.time_base:
            missing = round(packet.pts * packet.time_base * self.rate_hz) - self._position - self._missing
            if missing > 0:
                self.damage = self.damage or f"{missing} samples are missing"
                self._missing += min(missing, MAX_SILENCE_SAMPLES)

    def _decode(self, stream: av.AudioStream, packet: av.Packet[av.AudioStream] | None) -> Frames:
        try:
            frames = stream.codec_context.decode(packet if packet is None or packet.size else None)
        except av.error.MemoryError:
            raise
        except av.error.FFmpegError as error:
            self.damage = self.damage or f"a packet does not decode: {_cause(error)}"
            self._missing += min(self._declared_samples(packet) or 0, MAX_SILENCE_SAMPLES)
            return
        for frame in frames:
            for pcm in self._normalise(frame):
                if self._missing:
                    yield np.zeros((self.channels, self._missing), np.float32), None
                self._position += self._missing + pcm.shape[1]
                self._missing = 0
                yield pcm, self._declared_samples(packet)

    def _declared_samples(self, packet: av.Packet[av.AudioStream] | None) -> int | None:
        if packet is None or not packet.duration or packet.time_base is None:
            return None
        return round(packet.duration * packet.time_base * self.rate_hz)

    def _normalise(self, frame: av.AudioFrame | None) -> list[Pcm]:
        """A frame in the rate and channels of the first; None drains what a conversion holds back."""
        if frame is None:
            resampler, self._resampler = self._resampler, None
            return [as_float32(part) for part in resampler.resample(None)] if resampler else []
        channels = len(frame.layout.channels)
        if not self.rate_hz:
            if not MIN_RATE_HZ <= frame.sample_rate <= MAX_RATE_HZ or not channels:
                raise MediaError(f"{channels} channels at {frame.sample_rate} Hz", code="media_unsupported")
            self.rate_hz, self.channels = frame.sample_rate, min(channels, 2)
        if (frame.sample_rate, channels) == (self.rate_hz, self.channels):
            return [*self._normalise(None), as_float32(frame)]
        layout = "mono" if self.channels == 1 else "stereo"
        if self._resampler is None:
            self._resampler = av.AudioResampler(format="fltp", layout=layout, rate=self.rate_hz)
        try:
            return [as_float32(part) for part in self._resampler.resample(frame)]
        except ValueError:  # the input changed once more
            drained = self._normalise(None)
            self._resampler = av.AudioResampler(format="fltp", layout=layout, rate=self.rate_hz)
            return [*drained, *(as_float32(part) for part in self._resampler.resample(frame))]

    def _is_ogg_vorbis(self, stream: av.AudioStream) -> bool:
        """FFmpeg counts a first packet that makes no sound, and would cut as much too early at the end."""
        return self._job.ffmpeg_format == "ogg" and stream.codec_context.name == "vorbis"

    def _cut_padding(self, frames: Frames, stream: av.AudioStream, *, rounding_hz: int | None) -> Frames:
        """Cut the encoder's padding from the last frame, where FFmpeg leaves it.

        An MP4's sample table says so by a shorter last sample (ISO/IEC 14496-12 §8.6.1.2), else its edit list (§8.6.6)
        does, in ticks of `rounding_hz` or finer; Vorbis by the last page's position (RFC 5334).
        """
        total, held = 0, None
        for pcm, declared in frames:
            if held is not None:
                yield held
            held = (pcm, declared)
            total += pcm.shape[1]
        if held is None:
            return
        pcm, declared = held
        n = pcm.shape[1]
        excess = n - declared if declared is not None and rounding_hz else 0
        if not excess and stream.duration and stream.time_base:
            beyond = total - round(stream.duration * stream.time_base * self.rate_hz)
            excess = beyond if beyond > (self.rate_hz // rounding_hz if rounding_hz else 0) else 0
        yield (pcm[:, : n - excess] if 0 < excess < n else pcm), declared


def as_float32(frame: av.AudioFrame) -> Pcm:
    """A frame's samples as (channels, n) in [-1, 1): exact for integers of up to 24 bits."""
    raw: NDArray[Any] = frame.to_ndarray()
    if not frame.format.is_planar:
        raw = raw.reshape(-1, len(frame.layout.channels)).T
    if raw.dtype == np.uint8:
        return (raw.astype(np.float32) - np.float32(128)) * np.float32(1 / 128)
    if raw.dtype.kind == "i":
        return raw.astype(np.float32) * np.float32(2.0 ** (1 - 8 * raw.dtype.itemsize))
    return raw.astype(np.float32, copy=False)


def has_honest_sizes(file: Slice) -> bool:
    """Whether a WAV's chunks fill it exactly, so that what follows its data is no sound.

    A recorder that was cut off leaves 0, 0xFFFFFFFF or an earlier length: then all that follows is data.
    """
    at, end = 12, file.seek(0, os.SEEK_END)
    long_data, has_data = 0, False
    for _ in range(MAX_WAV_CHUNKS):
        if at + 8 > end:
            break
        file.seek(at)
        name, size = struct.unpack("<4sI", file.read(8))
        if name == b"ds64":
            _, long_data = struct.unpack("<QQ", file.read(16).ljust(16, b"\0"))
        if name == b"data":
            has_data = size > 0
            size = long_data if size == MAX_32 else size
        if not all(0x20 <= byte < 0x7F for byte in name):
            break
        at += 8 + size + size % 2
    file.seek(0)
    return has_data and end - 8 < at <= end + 1


def _batched(arrays: Iterator[Pcm]) -> Iterator[Pcm]:
    """Join short arrays to about `BATCH_SAMPLES`: a message each would cost more than the decoding."""
    batch: list[Pcm] = []
    for pcm in arrays:
        batch.append(pcm)
        if sum(part.shape[1] for part in batch) >= BATCH_SAMPLES:
            yield np.concatenate(batch, axis=1)
            batch = []
    if batch:
        yield np.concatenate(batch, axis=1)


def _cause(error: Exception) -> str:
    """What is wrong, without FFmpeg's number of it and its function's name."""
    return str(getattr(error, "strerror", None) or error)


def _refuse(url: str, *_: object) -> NoReturn:
    """No file may open another one."""
    raise PermissionError(f"a recording refers to {url!r}")
