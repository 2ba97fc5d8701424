"""The media lane of a track: pending segments in order → decoded and placed → blocks of sound.

Every block is a pure function of the segments around it and knows their fingerprint; what a new, late or retried
segment touches is found by comparing fingerprints and made anew. A run may be killed anywhere and run again.
"""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import replace

from sqlalchemy import Connection

from longtake.enrichment.lanes.blocks import Turn, decided_blocks, put_blocks
from longtake.enrichment.lanes.poison import MAX_KILLS, decoders_died
from longtake.enrichment.lanes.timelines import Change, Timeline, Timelines
from longtake.enrichment.sources import compare
from longtake.media.blocks import block_count, input_span
from longtake.media.decoded import DecodedSegment, DecodedSegments
from longtake.media.timeline_pcm import CONTEXT_NS, Pcm, TrackPcm
from longtake.model.coverage import DAMAGED, cover, cover_all
from longtake.model.errors import MediaError
from longtake.model.session import LaneStatus, Segment, Track
from longtake.model.timeline import RATE_HZ, Place, Placed, ns_to_samples, samples_to_ns
from longtake.speech.engine import RATE_HZ as SPEECH_HZ
from longtake.storage.catalog import derived, segments, sessions, tracks
from longtake.storage.store import Store

BLOCKS_VERSION = "aac-2"
"""Part of every fingerprint: raise it when the same sound gives other bytes."""
HOLE_PATIENCE_MS = 10_000
"""How long a missing segment holds up those behind it while its track is being recorded."""
MAX_ATTEMPTS = 4
STEP_S = 10
MAX_STEP_S = 40
"""How much of a long segment is decoded at a time. First little, so that it is soon heard; then a tenth of what is
known, as all that follows from a step costs the same for a long one. Half of the window that decoders keep."""


class MediaLane:
    """Runs the media lane of any track; one run per track at a time (`pump` sees to it)."""

    def __init__(self, store: Store, timelines: Timelines, pcm: DecodedSegments, stopping: threading.Event) -> None:
        self._store = store
        self._timelines = timelines
        self._pcm = pcm
        self._stopping = stopping
        self._not_before: dict[tuple[str, int], float] = {}
        """When segments that could not be read are tried again."""

    def run(self, track_id: str) -> bool:
        """Do what there is to do; returns whether anything was done."""
        with self._store.db.read() as c:
            track = tracks.find_track(c, track_id)
        if track is None:
            self._timelines.forget(track_id)
            return False
        timeline = self._timelines.of(track_id)
        turn = Turn(self._stopping.is_set)
        did = False
        try:
            while (segment := self._next(track)) is not None:
                did = True
                is_taken = self._take(track, timeline, segment, turn) and self._encode(track, timeline, turn)
                if not is_taken or turn.is_over():
                    return True
            return self._settle(track, timeline, turn) or did
        except BaseException:
            self._timelines.forget(track_id)
            raise

    def _next(self, track: Track) -> Segment | None:
        """The next segment to decode: the first that waits, unless one before it may still come, or it has to rest."""
        with self._store.db.read() as c:
            index = segments.first_pending(c, track.id, "media")
            if index is None or time.monotonic() < self._not_before.get((track.id, index), 0.0):
                return None
            segment = segments.get_segment(c, track.id, index)
            is_next = not index or segments.is_stored(c, track.id, index - 1)  # a hole further back was waited for
            if is_next or tracks.get_track(c, track.id).is_ended:
                return segment
        waited_ms = self._store.now_ms() - segment.stored_at_ms  # negative: somebody has set the clock back
        return None if 0 <= waited_ms < HOLE_PATIENCE_MS else segment

    def _take(self, track: Track, timeline: Timeline, segment: Segment, turn: Turn) -> bool:
        """Decode and place one segment, making blocks of a long one while it is decoded.

        Returns False when it is not done yet and others have their turn: the next run goes on where it was.
        """
        try:
            if segment.kills >= MAX_KILLS:
                raise decoders_died(segment.kills)
            decoded = self._pcm.open(segment.sha256)
            if decoded.samples is not None:  # of what is known already nothing is decoded, and so nothing compared
                compare(self._store, segment.sha256)
            place = timeline.place(segment, decoded.rate_hz)
            if decoded.samples is None and not self._encode(track, timeline, turn):
                return False  # what an earlier run left comes first: decoders keep it no longer than `WINDOW_S`
            while decoded.samples is None:  # at least one step, however long it took to check the bytes
                known = decoded.advance(decoded.samples_so_far + _step(decoded))
                if decoded.samples is None:  # a long one: what is decoded so far is played already
                    self._grow(track, timeline, segment, place, decoded, known, turn)
                    if turn.is_over():
                        return False
            if decoded.samples == 0:
                raise MediaError("there is no sound in it")
        except MediaError as error:
            if error.sha256 not in (None, segment.sha256):  # of another, whose sound is in a block of this one
                raise
            self._fail(track, timeline, segment, error)
        else:
            self._done(track, timeline, segment, decoded)
        return True

    def _grow(
        self,
        track: Track,
        timeline: Timeline,
        segment: Segment,
        place: Place,
        decoded: DecodedSegment,
        known: int,
        turn: Turn,
    ) -> None:
        """A long segment is known further: make its blocks, tell whoever plays or transcribes what is there."""
        grown = Placed(
            index=segment.index, sha256=segment.sha256, place=place, samples=known, channels=decoded.channels
        )
        change = timeline.put(grown, segment.start_ms)
        self._encode(track, timeline, turn)
        with self._store.db.write() as c:
            self._note_change(c, track, timeline, change)
            sessions.update_session(c, track.session_id, mix_settled=False)
        self._store.bus.publish("work", track.session_id)

    def _done(self, track: Track, timeline: Timeline, segment: Segment, decoded: DecodedSegment) -> None:
        assert decoded.samples is not None
        self._not_before.pop((track.id, segment.index), None)
        place = timeline.place(segment, decoded.rate_hz)
        placed = Placed(
            index=segment.index, sha256=segment.sha256, place=place, samples=decoded.samples, channels=decoded.channels
        )
        change = timeline.put(placed, segment.start_ms)
        stats = decoded.stats
        error_code = DAMAGED if decoded.damage else None
        done = replace(
            segment, media=LaneStatus.DONE, place=place, samples=decoded.samples, channels=decoded.channels,
            error_code=error_code,
        )  # fmt: skip
        with self._store.db.write() as c:
            segments.update_segment(
                c,
                segments.get_segment(c, track.id, segment.index),
                media=LaneStatus.DONE,
                take_start_ns=place.take_start_ns,
                take_offset=place.take_offset,
                rate_hz=place.rate_hz,
                samples=decoded.samples,
                channels=decoded.channels,
                noise_dbfs=None if stats is None else stats.noise_dbfs,
                is_silent=None if stats is None else stats.is_silent,
                error_code=error_code,
                error_detail=decoded.damage,
            )
            self._note_change(c, track, timeline, change)
            self._note_covered(c, track, change, done)
        self._store.bus.publish("segment_status", track.session_id, track_id=track.id, index=segment.index)

    def _fail(self, track: Track, timeline: Timeline, segment: Segment, error: MediaError) -> None:
        """Keep the segment with its error; try again first when that may help."""
        attempts = segment.attempts + 1
        with self._store.db.write() as c:
            if error.died and not self._stopping.is_set():  # other lanes, which decode it too, count meanwhile
                kills = segments.count_kill(c, track.id, segment.index)
                error = decoders_died(kills) if kills >= MAX_KILLS else error
            is_last = not error.is_retryable or attempts >= MAX_ATTEMPTS
            columns: dict[str, object] = {
                "attempts": attempts,
                "error_code": error.code,
                "error_detail": error.detail,
            }
            if is_last:
                columns |= {
                    "media": LaneStatus.FAILED,
                    "speech": LaneStatus.DONE,
                    "samples": None,
                    "take_start_ns": None,
                }
            segments.update_segment(c, segments.get_segment(c, track.id, segment.index), **columns)
            if is_last:
                change = timeline.lose(segment)
                self._note_change(c, track, timeline, change)
                self._note_covered(c, track, change, replace(segment, media=LaneStatus.FAILED))
        self._store.bus.publish(
            "segment_status", track.session_id, track_id=track.id, index=segment.index, error=error.code
        )
        self._not_before.pop((track.id, segment.index), None)
        if not is_last:
            self._not_before[track.id, segment.index] = time.monotonic() + 2 ** (attempts - 1)

    def _note_change(self, c: Connection, track: Track, timeline: Timeline, change: Change) -> None:
        for other in change.moved:
            segments.move_segment(c, track.id, other.index, other.place)
        from_sample = ns_to_samples(max(0, change.from_ns - CONTEXT_NS), SPEECH_HZ)  # the resampler hears it before
        tracks.note_change(c, track.id, timeline.length_ns, timeline.channels, from_sample)

    def _note_covered(self, c: Connection, track: Track, change: Change, segment: Segment) -> None:
        covered = tracks.get_track(c, track.id).covered
        if covered is not None:  # behind all others it adds to what is covered; among them that is counted anew
            is_last = segment.index >= covered.next_index and not change.moved
            tracks.set_covered(c, track.id, cover(covered, segment)[0] if is_last else None)

    def _encode(self, track: Track, timeline: Timeline, turn: Turn, *, is_final: bool = False) -> bool:
        """Make the blocks that are missing or stale; returns whether there is none left."""
        version, channels, total = timeline.version, timeline.channels, timeline.length_samples
        numbers = range(timeline.checked(track.id, channels), decided_blocks(total, is_final=is_final))

        def read(start: int, end: int) -> Pcm:
            return track_pcm(timeline, self._pcm, channels, start, end).read(start, end)

        def source(number: int) -> str:
            return block_source(timeline, number, channels, total, is_final=is_final)

        checked = put_blocks(
            self._store,
            track.session_id,
            track.id,
            channels,
            read,
            source,
            numbers,
            total if is_final else None,
            turn.is_over,
        )
        timeline.note_checked(track.id, channels, checked, version)
        return checked == numbers.stop

    def _settle(self, track: Track, timeline: Timeline, turn: Turn) -> bool:
        """At the end of the track its last block; then, if nothing else came meanwhile, the lane rests."""
        with self._store.db.read() as c:
            if segments.first_pending(c, track.id, "media") is not None:
                return False
            before = tracks.get_track(c, track.id)
            is_final, covered = before.is_ended, before.covered or cover_all(segments.segments_of(c, track.id))
        if not self._encode(track, timeline, turn, is_final=is_final):
            return not self._stopping.is_set()
        with self._store.db.write() as c:
            now = tracks.get_track(c, track.id)
            if segments.first_pending(c, track.id, "media") is None and now.is_ended == is_final:
                if is_final:
                    derived.drop_blocks(c, track.id, block_count(timeline.length_samples), self._store.now_ms())
                tracks.update_track(c, track.id, media_settled=True, length_ns=timeline.length_ns)
                tracks.set_covered(c, track.id, covered if now.counts.total == before.counts.total else now.covered)
                sessions.update_session(c, track.session_id, mix_settled=False)
                return True
        return False


def _step(decoded: DecodedSegment) -> int:
    """How many samples to decode next."""
    return max(STEP_S * decoded.rate_hz, min(MAX_STEP_S * decoded.rate_hz, decoded.samples_so_far // 10))


def block_source(timeline: Timeline, number: int, channels: int, total: int, *, is_final: bool) -> str:
    """Digest of everything that a block is a function of."""
    start, end = input_span(number, None)
    sound = timeline.fingerprint(samples_to_ns(start, RATE_HZ), samples_to_ns(end, RATE_HZ))
    ends = total if is_final and total < end else "later"
    return hashlib.sha256(f"{BLOCKS_VERSION} {channels} {ends} {sound}".encode()).hexdigest()


def track_pcm(timeline: Timeline, pcm: DecodedSegments, channels: int, start: int, end: int) -> TrackPcm:
    """A track as it is known now, as far as samples [start, end) at 48 kHz need it."""
    placed = timeline.around(samples_to_ns(start, RATE_HZ), samples_to_ns(end, RATE_HZ))
    return TrackPcm(placed, pcm, rate_hz=RATE_HZ, channels=channels)
