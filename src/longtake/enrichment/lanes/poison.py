"""Segments that kill, or whose bytes are lost: a child process that dies of one is counted in its row, and at the
third it is set aside; one that was decoded and does not decode any more is decoded again, to be kept with its error.

The count outlives the process, so that a segment which takes the machine's memory does not do so for ever. Somebody who
asks for the segment to be processed again starts the count anew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from longtake.enrichment.lanes.timelines import Timeline
from longtake.model.errors import EngineError, MediaError
from longtake.model.session import LaneStatus, Segment
from longtake.model.timeline import ns_to_samples, samples_to_ns
from longtake.speech.engine import RATE_HZ as SPEECH_HZ
from longtake.speech.vad import FRAME
from longtake.storage.catalog import segments, sessions, tracks
from longtake.storage.store import Store

MAX_KILLS = 3
BACK_OFF_S = 1.0
"""After the first death; after the second twice that."""


def decoders_died(kills: int) -> MediaError:
    """Why a segment is set aside that cannot be decoded."""
    return MediaError(
        f"{kills} decoders died of it: it is set aside until somebody retries it", code="segment_set_aside"
    )


def recognisers_died(kills: int) -> EngineError:
    """Why a segment is set aside that cannot be heard."""
    detail = f"{kills} recognisers died of it: it is set aside until somebody retries it"
    return EngineError(detail, code="segment_set_aside", retryable=False)


def blaming(store: Store, is_session: bool, run: Callable[[str], bool]) -> Callable[[str], bool]:
    """A lane that decodes what was decoded before: what kills its decoder, or has lost its bytes, is noted.

    Args:
        store: The rows.
        is_session: Whether the lane's keys are sessions; else they are tracks.
        run: The lane.
    """

    def run_blaming(key: str) -> bool:
        try:
            return run(key)
        except MediaError as error:
            if error.sha256 is None:
                raise
            with store.db.write() as c:
                owner = key if is_session else tracks.get_track(c, key).session_id
                blamed = segments.segments_with(c, owner, error.sha256)
                is_noted = [_blame(c, segment) if error.died else _doubt(c, segment) for segment in blamed]
            if any(is_noted):
                store.bus.publish("work", owner)
            if not error.died or not any(is_noted):
                raise
            return True

    return run_blaming


def _blame(c: Connection, segment: Segment) -> bool:
    """Count a death; at the last the media lane takes the segment again, to set it aside."""
    if segments.count_kill(c, segment.track_id, segment.index) < MAX_KILLS:
        return False
    _take_again(c, segment)
    return True


def _doubt(c: Connection, segment: Segment) -> bool:
    """What was decoded does not decode any more: the media lane takes the segment again, and says what is lost."""
    if segment.media is not LaneStatus.DONE:
        return False
    _take_again(c, segment, attempts=0)
    return True


def _take_again(c: Connection, segment: Segment, **columns: object) -> None:
    segments.update_segment(c, segment, media=LaneStatus.PENDING, **columns)
    track = tracks.get_track(c, segment.track_id)
    tracks.update_track(c, track.id, media_settled=False)
    sessions.update_session(c, track.session_id, mix_settled=False)


class Deaths:
    """Deaths of the recogniser over a track's sound; all places are samples at 16 kHz."""

    def __init__(self, store: Store, timeline: Timeline, track_id: str) -> None:
        self._store = store
        self._timeline = timeline
        self._track_id = track_id

    def kills(self, start: int, end: int) -> int:
        """How many died of the segment in which most of a stretch lies."""
        index = self._most(start, end)
        if index is None:
            return 0
        with self._store.db.read() as c:
            return segments.get_segment(c, self._track_id, index).kills

    def count(self, start: int, end: int) -> int:
        """One more died over a stretch; returns how many it were now."""
        index = self._most(start, end)
        if index is None:
            return 0
        with self._store.db.write() as c:
            return segments.count_kill(c, self._track_id, index)

    def count_all(self, start: int, end: int) -> None:
        """One more died, of one of the segments in a stretch: nobody knows of which."""
        with self._store.db.write() as c:
            for index in self._shares(start, end):
                segments.count_kill(c, self._track_id, index)

    def _most(self, start: int, end: int) -> int | None:
        shares = self._shares(start, end)
        return max(shares, key=lambda index: shares[index]) if shares else None

    def _shares(self, start: int, end: int) -> dict[int, int]:
        around = self._timeline.around(samples_to_ns(start, SPEECH_HZ), samples_to_ns(end, SPEECH_HZ))
        shares = {
            p.index: min(end, ns_to_samples(p.end_ns, SPEECH_HZ)) - max(start, ns_to_samples(p.start_ns, SPEECH_HZ))
            for p in around
        }
        return {index: share for index, share in shares.items() if share > 0}


class CarefulDetector:
    """Rates sound for a cutter, which reads each window just before; what kills the detector counts as silence."""

    def __init__(
        self,
        read: Callable[[int, int], NDArray[np.int16]],
        rate: Callable[[NDArray[np.int16]], NDArray[np.float32]],
        deaths: Deaths,
        stopping: threading.Event,
    ) -> None:
        self._read = read
        self._rate = rate
        self._deaths = deaths
        self._stopping = stopping
        self._window = (0, 0)

    def read(self, start: int, end: int) -> NDArray[np.int16]:
        """Samples [start, end)."""
        if end != self._window[0]:  # else it is what the detector hears before the window
            self._window = (start, end)
        return self._read(start, end)

    def rate(self, pcm: NDArray[np.int16]) -> NDArray[np.float32]:
        """Speech probabilities of what was just read."""
        for died in count():
            try:
                return self._rate(pcm)
            except EngineError as error:
                if not error.died or self._stopping.is_set():
                    raise
                self._deaths.count_all(*self._window)
                if self._deaths.kills(*self._window) >= MAX_KILLS:
                    return np.zeros(-(-len(pcm) // FRAME), np.float32)
                self._stopping.wait(BACK_OFF_S * 2**died)
        raise AssertionError("unreachable")
