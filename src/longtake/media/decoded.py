"""Decoded segments as if they lay in memory: native PCM by range, within a bounded budget.

Work that goes forward decodes every file once. Short segments stay whole while they are in use; of a long file a window
is kept behind the newest sample, and going back behind it decodes anew from the start.

Belongs here: remembering PCM, levels. Does not: where it lies on the session's timeline (`timeline_pcm`).
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from longtake.media import heap
from longtake.media.loudness import Loudness, SegmentStats
from longtake.media.sandbox import Decoding, MediaSource, Sandbox
from longtake.model.errors import MediaError

WINDOW_S = 80
"""How much of a long file stays readable behind its newest decoded sample."""
BUDGET_BYTES = 128 << 20
"""PCM kept over all segments; the least recently used go first."""
MAX_KNOWN = 1000
"""Segments of which length and levels are remembered; what is forgotten is learnt again by decoding."""
MAX_CHILDREN = 8
"""Files that are being decoded at once."""
UNUSED_S = 300.0
"""What is not read for so long is released: most likely its reader has gone."""
GIVE_BACK_S = 60.0
"""How often what is free goes back to the system."""


class Decoders:
    """All that decodes, in one sandbox: each piece of work has its segments to itself. Ends with `close`."""

    def __init__(self, sandbox: Sandbox, locate: Callable[[str], MediaSource]) -> None:
        self._sandbox, self._locate = sandbox, locate
        self._all: list[DecodedSegments] = []
        self._given_back_s = time.monotonic()

    def add(self, budget_bytes: int) -> DecodedSegments:
        """Segments for one more piece of work."""
        self._all.append(DecodedSegments(self._sandbox, self._locate, budget_bytes=budget_bytes))
        return self._all[-1]

    def release_unused(self, *, unused_s: float = UNUSED_S) -> None:
        """Release what nobody has used for that long: bytes that were deleted are held no longer.

        Once in a while what is free goes back to the system.
        """
        for segments in self._all:
            segments.release_unused(unused_s)
        if time.monotonic() - self._given_back_s >= GIVE_BACK_S:
            heap.give_back()
            self._given_back_s = time.monotonic()

    def close(self) -> None:
        """End the sandbox, and with it who still reads: a reader far away would decode for hours; then forget all."""
        self._sandbox.close()
        for segments in self._all:
            segments.close()


class DecodedSegments:
    """The segments of one piece of work, by SHA-256 of their bytes. Thread-safe."""

    def __init__(
        self, sandbox: Sandbox, locate: Callable[[str], MediaSource], *, budget_bytes: int = BUDGET_BYTES
    ) -> None:
        self._sandbox, self._locate, self._budget_bytes = sandbox, locate, budget_bytes
        self._lock = threading.Lock()
        self._known: OrderedDict[str, DecodedSegment] = OrderedDict()  # what was learnt of them, least recent first
        self._live: OrderedDict[str, DecodedSegment] = OrderedDict()  # may hold PCM or a child, least recent first

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def open(self, sha256: str) -> DecodedSegment:
        """The segment of these bytes, now the most recently used; decoding begins when something is asked of it."""
        with self._lock:
            segment = self._known.get(sha256)
            if segment is None:
                segment = self._known[sha256] = DecodedSegment(self._start, sha256)
            self._known.move_to_end(sha256)
            self._live[sha256] = segment
            self._live.move_to_end(sha256)
            if len(self._known) > MAX_KNOWN and next(iter(self._known)) not in self._live:
                self._known.popitem(last=False)
            segment.used_s = time.monotonic()
            live = list(self._live.items())
        self._free(live)
        return segment

    def release_unused(self, unused_s: float) -> None:
        """Release what was not used for that long and is not being read. What was learnt stays."""
        before_s = time.monotonic() - unused_s
        with self._lock:
            live = list(self._live.items())
        for sha256, segment in live:
            if segment.used_s <= before_s:
                self._release(sha256, segment)

    def close(self) -> None:
        """Forget everything and kill what still decodes."""
        with self._lock:
            segments = list(self._known.values())
            self._known.clear()
            self._live.clear()
        for segment in segments:
            segment.release()

    def _start(self, sha256: str) -> Decoding:
        try:
            return self._sandbox.open(self._locate(sha256))
        except FileNotFoundError:  # its bytes were moved between the two
            return self._sandbox.open(self._locate(sha256))

    def _free(self, live: list[tuple[str, DecodedSegment]]) -> None:
        """Release what is beyond the budget, never the segment just asked for. What was learnt stays."""
        size_bytes = sum(segment.size_bytes for _, segment in live)
        children = sum(segment.is_decoding for _, segment in live)
        for sha256, segment in live[:-1]:
            if size_bytes <= self._budget_bytes and children <= MAX_CHILDREN:
                return
            freed_bytes, freed_children = segment.size_bytes, segment.is_decoding
            if self._release(sha256, segment):
                size_bytes -= freed_bytes
                children -= freed_children

    def _release(self, sha256: str, segment: DecodedSegment) -> bool:
        if not segment.release_if_idle():
            return False
        with self._lock:
            self._live.pop(sha256, None)
        return True


class DecodedSegment:
    """Native PCM of one segment. Every access may decode, and raises MediaError as `Sandbox.open` and its arrays do."""

    def __init__(self, start: Callable[[str], Decoding], sha256: str) -> None:
        self._start, self._sha256 = start, sha256
        self.used_s = 0.0
        """When it was last opened or read, by the clock that never goes back."""
        self._lock = threading.RLock()
        self._decoding: Decoding | None = None
        self._kept: deque[NDArray[np.float32]] = deque()
        self._kept_from = 0
        self._kept_to = 0
        self._loudness: Loudness | None = None
        self._heard = 0
        self._format: tuple[int, int] | None = None
        self._samples: int | None = None
        self._damage: str | None = None
        self._stats: SegmentStats | None = None

    @property
    def rate_hz(self) -> int:
        """Native samples per second."""
        return self._ensure_format()[0]

    @property
    def channels(self) -> int:
        """1 or 2; more are mixed down."""
        return self._ensure_format()[1]

    @property
    def samples(self) -> int | None:
        """Length per channel; None until the end has been reached once."""
        return self._samples

    @property
    def samples_so_far(self) -> int:
        """How many samples are known to exist."""
        return self._heard

    @property
    def damage(self) -> str | None:
        """What was wrong with the file, known with `samples`; None if it was whole."""
        return self._damage

    @property
    def stats(self) -> SegmentStats | None:
        """Its levels; None until the end has been reached once."""
        return self._stats

    @property
    def size_bytes(self) -> int:
        """PCM that is kept at the moment."""
        return 0 if self._format is None else 4 * self._format[1] * (self._kept_to - self._kept_from)

    @property
    def is_decoding(self) -> bool:
        """Whether a child holds the file open."""
        return self._decoding is not None

    def read(self, from_sample: int, to_sample: int) -> NDArray[np.float32]:
        """Samples [from, to) as (channels, n); fewer where the file ends before."""
        with self._lock:
            if self._samples is not None and from_sample >= self._samples:
                return np.zeros((self.channels, 0), np.float32)
            if from_sample < self._kept_from:
                self.release()
            self._decode_until(to_sample, keep_from=from_sample)
            pcm = self._kept_range(from_sample, to_sample)
            self._trim(self._kept_to - WINDOW_S * self.rate_hz)
            self.used_s = time.monotonic()
            return pcm

    def advance(self, to_sample: int) -> int:
        """Decode until that many samples are known or the file ends; returns how many are known."""
        with self._lock:
            if self._samples is None and self._heard < to_sample:
                self._decode_until(to_sample, keep_from=self._kept_to)
            self.used_s = time.monotonic()
            return self._heard

    def release(self) -> None:
        """Forget the PCM and kill the child, if it still decodes. What was learnt stays."""
        with self._lock:
            if self._decoding is not None:
                self._decoding.close()
            self._decoding = None
            self._kept.clear()
            self._kept_from = self._kept_to = 0

    def release_if_idle(self) -> bool:
        """The same, unless another thread is reading; says whether it was done."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self.release()
        finally:
            self._lock.release()
        return True

    def _ensure_format(self) -> tuple[int, int]:
        with self._lock:
            if self._format is None:
                self._begin()
            assert self._format is not None
            return self._format

    def _begin(self) -> Decoding:
        try:
            decoding = self._decoding = self._start(self._sha256)
        except MediaError as error:
            error.sha256 = self._sha256
            raise
        self._format = (decoding.rate_hz, decoding.channels)
        if self._samples is None and self._loudness is None:
            self._loudness = Loudness(rate_hz=decoding.rate_hz)
        return decoding

    def _decode_until(self, to_sample: int, *, keep_from: int) -> None:
        """Take in arrays until `to_sample` is known, keeping the window and all from `keep_from` on."""
        end = to_sample if self._samples is None else min(to_sample, self._samples)
        if self._kept_to >= end:
            return
        decoding = self._decoding or self._begin()
        window = WINDOW_S * decoding.rate_hz
        try:
            while self._kept_to < end:
                pcm = next(decoding, None)
                if pcm is None:
                    self._reach_end(decoding)
                    return
                self._take_in(pcm)
                self._trim(min(keep_from, self._kept_to - window))
        except BaseException as error:
            self.release()
            if isinstance(error, MediaError):
                error.sha256 = self._sha256
            raise

    def _take_in(self, pcm: NDArray[np.float32]) -> None:
        self._kept.append(pcm)
        self._kept_to += pcm.shape[1]
        if self._kept_to > self._heard:
            assert self._loudness is not None
            self._loudness.add(pcm[:, pcm.shape[1] - (self._kept_to - self._heard) :])
            self._heard = self._kept_to

    def _reach_end(self, decoding: Decoding) -> None:
        if self._loudness is not None:
            self._samples, self._damage, self._stats = self._kept_to, decoding.damage, self._loudness.stats()
        self._decoding = self._loudness = None

    def _trim(self, keep_from: int) -> None:
        while self._kept and self._kept_from + self._kept[0].shape[1] <= keep_from:
            self._kept_from += self._kept.popleft().shape[1]

    def _kept_range(self, from_sample: int, to_sample: int) -> NDArray[np.float32]:
        parts, at = [np.zeros((self.channels, 0), np.float32)], self._kept_from
        for pcm in self._kept:
            if at < to_sample and at + pcm.shape[1] > from_sample:
                parts.append(pcm[:, max(0, from_sample - at) : to_sample - at])
            at += pcm.shape[1]
        return np.concatenate(parts, axis=1)
