"""The mix lane of a session: the sound of all its tracks → blocks. The same mechanism as a track's media lane.

A session with one track needs no encoding at all: its mix has the track's own blocks.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, replace

from longtake.enrichment.lanes.blocks import Turn, decided_blocks, put_blocks
from longtake.enrichment.lanes.media import BLOCKS_VERSION, track_pcm
from longtake.enrichment.lanes.timelines import Timeline, Timelines
from longtake.media.blocks import block_count, input_span
from longtake.media.decoded import DecodedSegments
from longtake.media.mix import Mix, TrackRole
from longtake.media.timeline_pcm import Pcm
from longtake.model.session import AUDIO_KINDS, Session, Track
from longtake.model.timeline import RATE_HZ, samples_to_ns
from longtake.storage.catalog import derived, sessions
from longtake.storage.store import Store

LAGGARD_SAMPLES = 30 * RATE_HZ
"""How far behind the others a track may be before the mix of a running session goes on without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A track of sound and its timeline."""

    track: Track
    timeline: Timeline


class MixLane:
    """Runs the mix lane of any session; one run per session at a time (`pump` sees to it)."""

    def __init__(self, store: Store, timelines: Timelines, pcm: DecodedSegments, stopping: threading.Event) -> None:
        self._store = store
        self._timelines = timelines
        self._pcm = pcm
        self._stopping = stopping

    def run(self, session_id: str) -> bool:
        """Do what there is to do; returns whether anything was done."""
        with self._store.db.read() as c:
            session = sessions.find_session(c, session_id)
        if session is None:
            return False
        parts = [
            Part(track=track, timeline=self._timelines.of(track.id))
            for track in session.tracks
            if track.kind in AUDIO_KINDS and track.counts.total
        ]
        is_final = all(track.is_ended and not track.counts.pending for track in session.tracks)
        turn = Turn(self._stopping.is_set)
        is_done = (
            self._copy(session, parts[0], turn)
            if is_copy(session, parts)
            else self._encode(session, parts, is_final, turn)
        )
        if not is_done:
            return not self._stopping.is_set()
        return self._settle(session, parts, is_final)

    def _copy(self, session: Session, part: Part, turn: Turn) -> bool:
        """One track: its blocks are the mix. Returns whether there is none left to copy."""
        with self._store.db.read() as c:
            revisions = derived.stale_copies(c, part.track.id, session.id)
        stale = list(revisions)
        for first in range(0, len(stale), 100):
            if first and turn.is_over():
                return False
            with self._store.db.write() as c:
                located = derived.locate_blocks(c, part.track.id, stale[first : first + 100])
                copies = [
                    (replace(block, owner_id=session.id, revision=revisions[number] + 1), locator)
                    for number, (block, locator) in located.items()
                ]
                derived.put_blocks(c, session.id, copies, self._store.now_ms())
        return True

    def _encode(self, session: Session, parts: list[Part], is_final: bool, turn: Turn) -> bool:
        """Several tracks: make the blocks that are missing or stale. Returns whether there is none left."""
        channels = max((part.timeline.channels for part in parts), default=1)
        total = max((part.timeline.length_samples for part in parts), default=0)
        upto = decided_blocks(total if is_final else _frontier(parts), is_final=is_final)
        settings = (session.balance, channels, [part.track.id for part in parts])
        versions = [part.timeline.version for part in parts]
        first = min((part.timeline.checked(session.id, settings) for part in parts), default=0)
        numbers = range(first, upto)

        def read(start: int, end: int) -> Pcm:
            tracks = [
                (track_pcm(part.timeline, self._pcm, channels, start, end), TrackRole.of(part.track.kind))
                for part in parts
            ]
            return Mix(tracks, session.balance).read(start, end)

        def source(number: int) -> str:
            return self._source(session, parts, number, channels, total, is_final)

        checked = put_blocks(
            self._store,
            session.id,
            session.id,
            channels,
            read,
            source,
            numbers,
            total if is_final else None,
            turn.is_over,
        )
        for part, version in zip(parts, versions, strict=True):
            part.timeline.note_checked(session.id, settings, checked, version)
        return checked == numbers.stop

    def _source(
        self, session: Session, parts: list[Part], number: int, channels: int, total: int, is_final: bool
    ) -> str:
        start, end = input_span(number, None)
        from_ns, until_ns = samples_to_ns(start, RATE_HZ), samples_to_ns(end, RATE_HZ)
        inputs = [f"{part.track.kind} {part.timeline.fingerprint(from_ns, until_ns)}" for part in parts]
        balance = [step for step in session.balance if step[0] <= until_ns]
        ends = total if is_final and total < end else "later"
        return hashlib.sha256(f"mix {BLOCKS_VERSION} {channels} {ends} {balance} {inputs}".encode()).hexdigest()

    def _settle(self, session: Session, parts: list[Part], is_final: bool) -> bool:
        """If nothing else came meanwhile, the lane rests; returns whether the session is whole now."""
        if self._stopping.is_set():
            return False
        with self._store.db.write() as c:
            now = sessions.find_session(c, session.id)
            if now is None or now.balance != session.balance or not all(t.media_settled for t in now.tracks):
                return False
            if [_content(track) for track in now.tracks] != [_content(track) for track in session.tracks]:
                return False  # a track moved on while the mix was made: once more
            if is_final:
                total = max((part.timeline.length_samples for part in parts), default=0)
                derived.drop_blocks(c, session.id, block_count(total), self._store.now_ms())
            sessions.update_session(c, session.id, mix_settled=True)
        if is_final:
            self._store.bus.publish("media-processing-complete", session.id)
        return is_final


def is_copy(session: Session, parts: list[Part]) -> bool:
    """Whether the mix sounds exactly like its only track."""
    if len(parts) != 1:
        return False
    role = TrackRole.of(parts[0].track.kind)
    return all(role.gain(balance) == 1.0 for _, balance in session.balance)


def _content(track: Track) -> tuple[object, ...]:
    """What of a track the mix depends on."""
    return (
        track.counts.total,
        track.counts.failed,
        track.counts.pending,
        track.length_ns,
        track.channels,
        track.is_ended,
        track.media_settled,
    )


def _frontier(parts: list[Part]) -> int:
    """Up to where the mix of a running session is decided: where its slowest track is, unless that lags far behind."""
    lengths = [
        part.timeline.length_samples for part in parts if not (part.track.is_ended and not part.track.counts.pending)
    ]
    furthest = max((part.timeline.length_samples for part in parts), default=0)
    return max(min(lengths, default=furthest), furthest - LAGGARD_SAMPLES)
