"""A track's sound on the session's timeline: segments joined by sample count, resampled across joints.

Sample 0 is the session's media time 0. `TrackPcm.read` is a pure function of the placed segments: bit-identical however
the timeline is cut into ranges. The same rate is copied exactly; other rates go through a windowed sinc in cells that
lie on a fixed grid of the take and see their neighbours as context.

Belongs here: joints, gaps, rates, channels. Does not: where segments lie (`model.timeline`), gains (`mix`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, islice, takewhile
from math import gcd

import av
import numpy as np
from numpy.typing import NDArray

from longtake.media.decoded import DecodedSegments
from longtake.model.timeline import NS_PER_S, Placed, ns_to_samples, rescale

Pcm = NDArray[np.float32]

CONTEXT_NS = 50_000_000
"""Output is final where the input is known this far beyond it: above the filter's reach at any rate."""

_CELLS_KEPT = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """Segments without a break, of one rate. `start`, `heard_from` and `end` are samples of the track's timeline.

    `reach` is, for each segment, the furthest end of it and all before it, in native samples of the take.
    """

    segments: tuple[Placed, ...]
    reach: tuple[int, ...]
    rate_hz: int
    start: int
    heard_from: int
    end: int

    def overlapping(self, a: int, b: int) -> list[Placed]:
        """The segments with samples in [a, b) of the take, first come first."""
        first = bisect_right(self.reach, a)
        found = takewhile(lambda placed: placed.place.take_offset < b, islice(self.segments, first, None))
        return sorted((placed for placed in found if _native_end(placed) > a), key=lambda placed: placed.index)


class TrackPcm:
    """The samples of one track, in order of its segments' indexes. For one thread at a time.

    A take that starts before an earlier one has ended is heard from that end on. The last segment may still grow: what
    is read near its end is final only where `CONTEXT_NS` more is known.
    """

    def __init__(self, placed: Sequence[Placed], segments: DecodedSegments, *, rate_hz: int, channels: int) -> None:
        self._segments = segments
        self._rate_hz, self._channels = rate_hz, channels
        self._takes = takes_of(placed, rate_hz=rate_hz)
        self._reach = list(accumulate((take.end for take in self._takes), max))
        self._cells: OrderedDict[tuple[int, int], Pcm] = OrderedDict()

    @property
    def channels(self) -> int:
        """1 or 2."""
        return self._channels

    @property
    def rate_hz(self) -> int:
        """Samples per second of what is read."""
        return self._rate_hz

    @property
    def length_samples(self) -> int:
        """Where the last sound ends."""
        return self._reach[-1] if self._reach else 0

    def read(self, from_sample: int, to_sample: int) -> Pcm:
        """Samples [from, to) as (channels, to - from); silence where there is no segment.

        Raises:
            MediaError: A segment does not decode (see `DecodedSegment`).
        """
        out = np.zeros((self._channels, max(0, to_sample - from_sample)), np.float32)
        for number in range(bisect_right(self._reach, from_sample), len(self._takes)):
            take = self._takes[number]
            if take.heard_from >= to_sample:
                break
            a, b = max(from_sample, take.heard_from), min(to_sample, take.end)
            if a < b:
                out[:, a - from_sample : b - from_sample] = self._read_take(number, a - take.start, b - take.start)
        return out

    def _read_take(self, number: int, a: int, b: int) -> Pcm:
        take = self._takes[number]
        if take.rate_hz == self._rate_hz:
            return self._native(take, a, b)
        ratio = Ratio.between(take.rate_hz, self._rate_hz)
        first, last = a // ratio.to_hz, (b - 1) // ratio.to_hz
        cells = np.concatenate([self._cell(number, cell, ratio) for cell in range(first, last + 1)], axis=1)
        return cells[:, a - first * ratio.to_hz : b - first * ratio.to_hz]

    def _cell(self, number: int, cell: int, ratio: Ratio) -> Pcm:
        """One resampled cell of a take; the last few are remembered, as ranges seldom end where cells do."""
        key = (number, cell)
        pcm = self._cells.get(key)
        if pcm is None:
            start = cell * ratio.from_hz
            native = self._native(
                self._takes[number], start - ratio.context_in, start + ratio.from_hz + ratio.context_in
            )
            pcm = self._cells[key] = ratio.resample(native)
            if len(self._cells) > _CELLS_KEPT:
                self._cells.popitem(last=False)
        return pcm

    def _native(self, take: Take, a: int, b: int) -> Pcm:
        """Samples [a, b) of a take at its own rate, in the track's channels; silence outside."""
        out = np.zeros((self._channels, b - a), np.float32)
        for placed in reversed(take.overlapping(a, b)):
            offset = placed.place.take_offset
            begin, end = max(0, a - offset), min(b - offset, placed.samples)
            pcm = self._segments.open(placed.sha256).read(begin, end)
            at = offset + begin - a
            out[:, at : at + pcm.shape[1]] = in_channels(pcm, self._channels)
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """From one rate to another in cells of a second, so that a cell is a whole number of samples on both sides.

    The context is a multiple of the shortest exact stretch (147 samples of 44.1 kHz are 160 of 48 kHz): the filter's
    phase is zero where it starts, and a cell does not depend on what was computed before it.
    """

    from_hz: int
    to_hz: int
    context_in: int
    context_out: int

    @classmethod
    def between(cls, from_hz: int, to_hz: int) -> Ratio:
        """The ratio of two rates."""
        divisor = gcd(from_hz, to_hz)
        stretches = -(-CONTEXT_NS * divisor // NS_PER_S)
        return cls(
            from_hz=from_hz,
            to_hz=to_hz,
            context_in=from_hz // divisor * stretches,
            context_out=to_hz // divisor * stretches,
        )

    def resample(self, native: Pcm) -> Pcm:
        """One cell from its native samples with context on both sides.

        Source: libswresample's defaults (Kaiser-windowed sinc of 32 taps, exact rational phases): 100 dB and more for a
            1 kHz tone at all usual rates.
        """
        if not native.any():  # long recordings of several tracks are full of it
            return np.zeros((len(native), self.to_hz), np.float32)
        layout = "mono" if len(native) == 1 else "stereo"
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(native), format="fltp", layout=layout)
        frame.sample_rate = self.from_hz
        resampler = av.AudioResampler(format="fltp", layout=layout, rate=self.to_hz)
        parts = [part.to_ndarray() for part in [*resampler.resample(frame), *resampler.resample(None)]]
        return np.concatenate(parts, axis=1, dtype=np.float32)[:, self.context_out : self.context_out + self.to_hz]


def takes_of(placed: Sequence[Placed], *, rate_hz: int) -> list[Take]:
    """Group segments into takes, in order of their start; the earlier keeps what two would share."""
    by_take: dict[tuple[int, int], list[Placed]] = {}
    for segment in placed:
        by_take.setdefault((segment.place.take_start_ns, segment.place.rate_hz), []).append(segment)
    takes: list[Take] = []
    taken = 0
    for (start_ns, native_hz), segments in sorted(by_take.items(), key=lambda item: item[0][0]):
        segments.sort(key=lambda segment: segment.place.take_offset)
        reach = tuple(accumulate(map(_native_end, segments), max))
        start = ns_to_samples(start_ns, rate_hz)
        end = start + rescale(reach[-1], native_hz, rate_hz)
        takes.append(
            Take(
                segments=tuple(segments),
                reach=reach,
                rate_hz=native_hz,
                start=start,
                heard_from=max(start, taken),
                end=end,
            )
        )
        taken = max(taken, end)
    return takes


def _native_end(placed: Placed) -> int:
    return placed.place.take_offset + placed.samples


def in_channels(pcm: Pcm, channels: int) -> Pcm:
    """The same sound in that many channels: mono is heard on both sides, stereo is averaged."""
    if len(pcm) == channels:
        return pcm
    if channels == 1:
        average: Pcm = pcm.mean(axis=0, keepdims=True, dtype=np.float32)
        return average
    return np.repeat(pcm, channels, axis=0)
