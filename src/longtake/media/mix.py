"""Several tracks as one signal, with a balance between microphone and system sound.

`Mix.read` is a pure function of the tracks and the balance's history: gains depend on a sample's number only, and the
limiter has no memory. A single track at the default balance passes through bit-identical.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from longtake.model.timeline import ns_to_samples

Pcm = NDArray[np.float32]

DEFAULT_BALANCE = 0.5
RAMP_MS = 10
KNEE = 0.9
"""Below this the limiter changes nothing; above, it approaches 1 and never reaches beyond."""


class TrackRole(StrEnum):
    """The side of the balance that a track is on."""

    MICROPHONE = "microphone"
    SYSTEM = "system"

    @classmethod
    def of(cls, kind: str) -> TrackRole:
        """The side of a track's kind: all but system sound is the microphone's."""
        return cls.SYSTEM if kind == cls.SYSTEM else cls.MICROPHONE

    def gain(self, balance: float) -> float:
        """How loud this side is: 0 is microphone only, 1 is system only, at 0.5 both are as they were."""
        return min(1.0, 2 * balance if self is TrackRole.SYSTEM else 2 * (1 - balance))


class Track(Protocol):
    """What is mixed: `TrackPcm`, or anything that reads like it."""

    @property
    def channels(self) -> int: ...
    @property
    def rate_hz(self) -> int: ...
    def read(self, from_sample: int, to_sample: int) -> Pcm: ...


class Mix:
    """The sum of tracks of one rate and one number of channels.

    Args:
        tracks: Each with its side of the balance.
        balance: (from_ns, balance) in order of time; `DEFAULT_BALANCE` holds before the first. A step takes `RAMP_MS`.

    Raises:
        ValueError: There is no track, or they differ in rate or channels.
    """

    def __init__(self, tracks: Sequence[tuple[Track, TrackRole]], balance: Sequence[tuple[int, float]]) -> None:
        if len({(track.rate_hz, track.channels) for track, _ in tracks}) != 1:
            raise ValueError("a mix needs tracks of one rate and one number of channels")
        self._tracks = list(tracks)
        first = tracks[0][0]
        self.rate_hz, self.channels = first.rate_hz, first.channels
        self._gains = {role: Envelope(balance, role, rate_hz=self.rate_hz) for role in TrackRole}

    def read(self, from_sample: int, to_sample: int) -> Pcm:
        """Samples [from, to) as (channels, to - from), within ±1 if there is more than one track."""
        mixed: Pcm | None = None
        for track, role in self._tracks:
            pcm = self._gains[role].apply(track.read(from_sample, to_sample), from_sample)
            mixed = pcm if mixed is None else mixed + pcm
        assert mixed is not None
        return soft_limit(mixed) if len(self._tracks) > 1 else mixed


class Envelope:
    """One side's gain over time: constant, with linear ramps where the balance changed."""

    def __init__(self, balance: Sequence[tuple[int, float]], role: TrackRole, *, rate_hz: int) -> None:
        ramp = rate_hz * RAMP_MS // 1000
        self._at = [0.0]
        self._gain = [role.gain(DEFAULT_BALANCE)]
        for from_ns, value in balance:
            start = ns_to_samples(from_ns, rate_hz)
            if start <= 0:
                self._at, self._gain = [0.0], [role.gain(value)]
                continue
            now = float(np.interp(start, self._at, self._gain))
            kept = sum(at < start for at in self._at)  # a step within the last ramp cuts it short
            self._at = [*self._at[:kept], start, start + ramp]
            self._gain = [*self._gain[:kept], now, role.gain(value)]

    def apply(self, pcm: Pcm, from_sample: int) -> Pcm:
        """The samples with their gain; themselves where it is 1 throughout."""
        ends = np.interp([from_sample, from_sample + pcm.shape[1]], self._at, self._gain)
        is_constant = ends[0] == ends[1] and not any(0 < at - from_sample < pcm.shape[1] for at in self._at)
        if is_constant and ends[0] == 1.0:
            return pcm
        gain = np.interp(np.arange(from_sample, from_sample + pcm.shape[1]), self._at, self._gain)
        louder: Pcm = pcm * gain.astype(np.float32)
        return louder


def soft_limit(pcm: Pcm) -> Pcm:
    """Bend what is louder than `KNEE` towards full scale, sample by sample: no memory, no hard clipping."""
    loud = np.abs(pcm) > KNEE
    if not loud.any():
        return pcm
    out = pcm.copy()
    over = np.abs(pcm[loud]) - np.float32(KNEE)
    room = np.float32(1 - KNEE)
    out[loud] = np.sign(pcm[loud]) * (np.float32(KNEE) + room * np.tanh(over / room))
    return out
