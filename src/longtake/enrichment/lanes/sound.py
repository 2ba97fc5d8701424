"""A track as speech engines want it, read forward: no sound is decoded twice for being cut and then recognised."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from longtake.enrichment.lanes.timelines import Timeline
from longtake.media.decoded import DecodedSegments
from longtake.media.timeline_pcm import TrackPcm
from longtake.model.timeline import samples_to_ns
from longtake.speech.engine import RATE_HZ as SPEECH_HZ

KEPT = 120 * SPEECH_HZ
"""Samples that stay readable behind the newest: a step, the utterance before it and what the detector hears first."""


class Sound:
    """Samples of a track at 16 kHz, mono. Those read lately are remembered as they were when they were read."""

    def __init__(self, timeline: Timeline, pcm: DecodedSegments) -> None:
        self._timeline = timeline
        self._pcm = pcm
        self._start = 0
        self._kept: NDArray[np.int16] = np.zeros(0, np.int16)

    def read(self, start: int, end: int) -> NDArray[np.int16]:
        """Samples [start, end); gaps are zeros."""
        kept_to = self._start + len(self._kept)
        if not self._start <= start <= kept_to:
            self._start, self._kept, kept_to = start, self._kept[:0], start
        if end > kept_to:
            self._kept = np.concatenate([self._kept, self._fresh(kept_to, end)])
            behind = max(0, min(start, end - KEPT) - self._start)
            self._start, self._kept = self._start + behind, self._kept[behind:]
        return self._kept[start - self._start : end - self._start]

    def _fresh(self, start: int, end: int) -> NDArray[np.int16]:
        placed = self._timeline.around(samples_to_ns(start, SPEECH_HZ), samples_to_ns(end, SPEECH_HZ))
        sound = TrackPcm(placed, self._pcm, rate_hz=SPEECH_HZ, channels=1).read(start, end)[0]
        pcm: NDArray[np.int16] = np.clip(np.rint(sound * 32768), -32768, 32767).astype(np.int16)
        return pcm
