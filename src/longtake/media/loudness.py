"""How loud a segment is: noise level, silence; gathered while it is decoded, in flat memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FLOOR_DBFS = -120.0
SILENCE_DBFS = -60.0
"""Sound that never exceeds this, in any frame, counts as silence."""
FRAME_MS = 50
NOISE_QUANTILE = 0.1

_BINS_PER_DB = 10
_BINS = int(-FLOOR_DBFS) * _BINS_PER_DB + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentStats:
    """Levels in dB of full scale, never below `FLOOR_DBFS`.

    Attributes:
        noise_dbfs: The level that the quietest tenth of all 50 ms frames stays below (RMS).
        is_silent: No frame's level exceeds `SILENCE_DBFS`.
    """

    noise_dbfs: float
    is_silent: bool


class Loudness:
    """Gathers a signal's levels, fed piece by piece: the result does not depend on how it is cut."""

    def __init__(self, *, rate_hz: int) -> None:
        self._frame = max(1, rate_hz * FRAME_MS // 1000)
        self._histogram = np.zeros(_BINS, np.int64)
        self._rest = np.zeros(0, np.float32)

    def add(self, pcm: NDArray[np.float32]) -> None:
        """Take in (channels, n) samples."""
        if not pcm.shape[1]:
            return
        square = np.square(pcm)
        power = np.concatenate([self._rest, square[0] if len(square) == 1 else square.mean(axis=0)])
        whole = len(power) // self._frame * self._frame
        self._histogram += _histogram(power[:whole].reshape(-1, self._frame))
        self._rest = power[whole:].copy()

    def stats(self) -> SegmentStats:
        """The levels of all that was added; a last frame that is not full counts, too."""
        histogram = self._histogram + (_histogram(self._rest[None]) if len(self._rest) else 0)
        levels = np.cumsum(histogram)
        noise_bin = int(np.searchsorted(levels, NOISE_QUANTILE * levels[-1])) if levels[-1] else 0
        loudest = int(np.flatnonzero(histogram)[-1]) if levels[-1] else 0
        return SegmentStats(noise_dbfs=_level(noise_bin), is_silent=_level(loudest) <= SILENCE_DBFS)


def _histogram(power: NDArray[np.float32]) -> NDArray[np.int64]:
    """How many frames, the rows of `power`, have each level."""
    dbfs = 10 * np.log10(np.maximum(power.mean(axis=1, dtype=np.float64), 1e-12))
    bins = np.rint((dbfs - FLOOR_DBFS) * _BINS_PER_DB).astype(np.int64)
    return np.bincount(np.clip(bins, 0, _BINS - 1), minlength=_BINS)


def _level(bin_: int) -> float:
    return round(FLOOR_DBFS + bin_ / _BINS_PER_DB, 1)
