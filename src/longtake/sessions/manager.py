"""The commands on sessions and tracks, one transaction each: create, read, change, trash.

Belongs here: what a session is. Does not: its life (`sessions.lifecycle`), its work (`sessions.work`), its text
(`sessions.transcripts`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from sqlalchemy import Connection

from longtake.access import OWNER
from longtake.model.coverage import NOTHING, Coverage, Figures, cover_all, coverage, deleted, figures
from longtake.model.errors import Conflict, Invalid
from longtake.model.lifecycle import JobState, SessionState, TrackHealth, TrackState
from longtake.model.remarks import PhaseChange
from longtake.model.session import (
    AUDIO_KINDS,
    Covered,
    Mode,
    Participant,
    Segment,
    Session,
    Track,
    TrackKind,
    Transition,
)
from longtake.sessions.work import Work
from longtake.storage.catalog import library, remarks, segments, sessions, tracks
from longtake.storage.store import Store

MAX_TITLE = 500
MAX_LIST = 50
"""Tags, topics, phases: as many as fit into the metadata."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """What a session is created from; everything has a sensible default."""

    title: str | None = None
    description: str | None = None
    tags: Sequence[str] = ()
    topics: Sequence[str] = ()
    mode: Mode = Mode.SOLO
    recording_type: str = "segmented"
    recording_config: Mapping[str, object] = field(default_factory=dict)
    expected_segments: int | None = None
    phases: Sequence[str] = ()
    device_id: str | None = None
    participant: str | None = None
    agent: Mapping[str, object] | None = None
    on_leave: str = "keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTrack:
    """What a track is declared with."""

    kind: TrackKind
    participant_id: str | None = None
    device_id: str | None = None
    name: str | None = None
    started_at_ms: int | None = None
    expected_segments: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackCoverage:
    """A track with what it should have and has."""

    track: Track
    coverage: Coverage


class Sessions:
    """Sessions and tracks. Every method is one transaction and may be called from any thread."""

    def __init__(self, store: Store, work: Work) -> None:
        self._store = store
        self._work = work

    def create(self, new: NewSession, *, actor: str = OWNER) -> Session:
        """Create a session; its history begins."""
        now_ms = self._store.now_ms()
        for name, words in (("tags", new.tags), ("topics", new.topics), ("phases", new.phases)):
            _check_words(name, words)
        state = SessionState.WAITING if new.mode is Mode.PAIR else SessionState.IDLE
        first = Participant(id=self._store.new_id(), role="A", name=new.participant, device_id=new.device_id)
        session = Session(
            id=self._store.new_id(),
            title=_title(new.title, now_ms),
            description=new.description,
            mode=new.mode,
            state=state,
            created_at_ms=now_ms,
            last_activity_at_ms=now_ms,
            recording_type=new.recording_type,
            recording_config=new.recording_config,
            device_id=new.device_id,
            tags=tuple(dict.fromkeys(new.tags)),
            topics=tuple(dict.fromkeys(new.topics)),
            phases=tuple(new.phases),
            phase=new.phases[0] if new.phases else None,
            agent=new.agent,
            on_leave=new.on_leave,
            expected_segments=new.expected_segments,
            participants=(first,) if new.participant or new.mode is not Mode.SOLO else (),
        )
        with self._store.db.write() as c:
            sessions.insert_session(c, session)
            if session.phase is not None:
                begun = PhaseChange(phase=session.phase, at_ms=now_ms, start_ms=0, actor=actor)
                remarks.insert_phase(c, session.id, begun)
            step = Transition(at_ms=now_ms, from_state=None, to_state=state, event="created", actor=actor)
            sessions.record(c, session.id, [step])
        self._store.bus.publish("session_status", session.id, state=state.value, processing=session.processing.value)
        return session

    def get(self, session_id: str) -> Session:
        """A session's metadata; raises NotFound."""
        with self._store.db.read() as c:
            return sessions.get_session(c, session_id)

    def page(
        self,
        wanted: library.Filter,
        *,
        sort: library.Sort = library.Sort.NEWEST,
        limit: int = 50,
        cursor: str | None = None,
    ) -> tuple[list[Session], str | None]:
        """A page of sessions, newest first unless asked otherwise, and the cursor of the next page."""
        with self._store.db.read() as c:
            return library.list_sessions(c, wanted, sort=sort, limit=limit, cursor=cursor)

    def history(self, session_id: str) -> list[Transition]:
        """Every recorded step of a session's life."""
        with self._store.db.read() as c:
            sessions.session_state(c, session_id)
            return sessions.list_history(c, session_id)

    def change(
        self,
        session_id: str,
        *,
        title: str | None = None,
        description: str | None = None,
        tags: Sequence[str] | None = None,
        topics: Sequence[str] | None = None,
    ) -> Session:
        """Change a session's texts; None leaves a thing as it is."""
        columns: dict[str, object] = {"last_activity_at_ms": self._store.now_ms()}
        if title is not None:
            columns["title"] = _title(title, self._store.now_ms())
        if description is not None:
            columns["description"] = description
        if topics is not None:
            _check_words("topics", topics)
            columns["topics"] = list(dict.fromkeys(topics))
        with self._store.db.write() as c:
            sessions.open_session(c, session_id)
            sessions.update_session(c, session_id, **columns)
            if tags is not None:
                _check_words("tags", tags)
                sessions.set_tags(c, session_id, tags)
            return sessions.get_session(c, session_id)

    def retag(self, session_id: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> Session:
        """Give a session more tags, and take others away; what it has, or has not, already stays so."""
        with self._store.db.write() as c:
            session = sessions.open_session(c, session_id)
            tags = [tag for tag in dict.fromkeys([*session.tags, *add]) if tag not in remove]
            _check_words("tags", tags)
            if tuple(tags) != session.tags:
                sessions.set_tags(c, session_id, tags)
                sessions.update_session(c, session_id, last_activity_at_ms=self._store.now_ms())
            return replace(session, tags=tuple(tags))

    def trash(self, session_id: str) -> None:
        """Put a session into the trash, with its job cancelled; twice is once."""
        with self._store.db.write() as c:
            if sessions.get_session(c, session_id).trashed_at_ms is None:
                sessions.update_session(c, session_id, trashed_at_ms=self._store.now_ms())
            job = self._work.cancel_in(c, session_id)
        self._work.announce(job)

    def restore(self, session_id: str) -> Session:
        """Take a session out of the trash and have its enrichment go on; twice is once."""
        job = None
        with self._store.db.write() as c:
            session = sessions.get_session(c, session_id)
            sessions.update_session(c, session_id, trashed_at_ms=None, last_activity_at_ms=self._store.now_ms())
            is_without = session.job is None or session.job.status is JobState.CANCELLED
            if session.trashed_at_ms is not None and is_without and session.state is SessionState.COMPLETED:
                job = self._work.enqueue_in(c, session_id)
            session = sessions.get_session(c, session_id)
        self._work.announce(job)
        return session

    def declare_track(self, session_id: str, new: NewTrack) -> Track:
        """Add a track to a session."""
        with self._store.db.write() as c:
            session = sessions.open_session(c, session_id)
            if new.participant_id is not None and new.participant_id not in {p.id for p in session.participants}:
                raise Invalid(f"participant {new.participant_id} is not in this session")
            if session.state is SessionState.COMPLETED:
                raise Conflict("the session has ended; only segments of its own tracks may still come")
            track = Track(
                id=self._store.new_id(),
                session_id=session_id,
                kind=new.kind,
                number=tracks.next_number(c, session_id),
                state=TrackState.ACTIVE if session.state is SessionState.ACTIVE else TrackState.IDLE,
                health=TrackHealth.HEALTHY,
                participant_id=new.participant_id,
                device_id=new.device_id,
                name=new.name,
                started_at_ms=new.started_at_ms,
                expected_segments=new.expected_segments,
                heard_at_ms=self._store.now_ms(),
            )
            tracks.insert_track(c, track)
            sessions.update_session(c, session_id, last_activity_at_ms=self._store.now_ms())
        return track

    def track(self, session_id: str, track_id: str) -> Track:
        """One track of a session; raises NotFound."""
        with self._store.db.read() as c:
            return tracks.get_track(c, track_id, session_id)

    def segments(
        self, session_id: str, *, limit: int = 50, cursor: str | None = None
    ) -> tuple[list[Segment], str | None]:
        """A page of segments by track and index, and the cursor of the next page."""
        with self._store.db.read() as c:
            sessions.session_state(c, session_id)
            return segments.list_segments(c, session_id, limit=limit, cursor=cursor)

    def segment(self, session_id: str, track_id: str, index: int) -> Segment:
        """One segment; raises NotFound."""
        with self._store.db.read() as c:
            tracks.get_track(c, track_id, session_id)
            return segments.get_segment(c, track_id, index)

    def coverage(self, session_id: str) -> list[TrackCoverage]:
        """What every track of sound should have and has."""
        with self._store.db.read() as c:
            session = sessions.get_session(c, session_id)
            return [
                TrackCoverage(
                    track=track,
                    coverage=coverage_of(c, session, track),
                )
                for track in session.tracks
                if track.kind in AUDIO_KINDS
            ]

    def figures(self, session: Session) -> list[Figures]:
        """The coverage of each track of sound in figures: at the same cost for a session of any length."""
        sound = [track for track in session.tracks if track.kind in AUDIO_KINDS]
        if session.audio_deleted_at_ms is not None:
            gone = [deleted(track.length_ns, track.expected_ms) for track in sound]
            return [Figures(expected_ms=one.expected_ms, stored_ms=0, gap_count=len(one.gaps)) for one in gone]
        covered = [track.covered for track in sound if not track.counts.pending]
        if None in covered or len(covered) < len(sound):
            with self._store.db.read() as c:
                now = tracks.tracks_of(c, [session.id])[session.id]
                sound = [track for track in now if track.kind in AUDIO_KINDS]
                covered = [_covered(c, track) for track in sound]
        return [
            figures(
                so_far or NOTHING,
                expected_ms=track.expected_ms,
                expected_segments=track.expected_segments or session.expected_segments,
            )
            for track, so_far in zip(sound, covered, strict=True)
        ]

    def set_balance(self, session_id: str, balance: float) -> Session:
        """Set the mix between microphone (0) and system (1), from now on; after the end everywhere, as a job."""
        if not 0 <= balance <= 1:
            raise Invalid("balance lies between 0 (microphone only) and 1 (system only)")
        with self._store.db.write() as c:
            session = sessions.open_session(c, session_id)
            sessions.check_recorded(c, session_id)
            from_ns, steps = session.length_ns, [(0, balance)]
            if session.state is not SessionState.COMPLETED and from_ns:
                steps = [step for step in session.balance if step[0] < from_ns] + [(from_ns, balance)]
            sessions.update_session(c, session_id, balance=[list(step) for step in steps], mix_settled=False)
            job = self._work.enqueue_in(c, session_id) if session.state is SessionState.COMPLETED else None
            session = replace(session, balance=tuple(steps))
        self._store.bus.publish("work", session_id)
        self._work.announce(job)
        return session


def _covered(c: Connection, track: Track) -> Covered:
    """How far all segments of a track cover it: those that are not decoded yet count as announced."""
    waiting = segments.pending_segments(c, track.id)
    covered = track.covered
    if covered is None or (waiting and waiting[0].index < covered.next_index):
        return cover_all(segments.segments_of(c, track.id))
    return cover_all(waiting, covered)


def coverage_of(c: Connection, session: Session, track: Track) -> Coverage:
    """What a track should have and has."""
    if session.audio_deleted_at_ms is not None:
        return deleted(track.length_ns, track.expected_ms)
    return coverage(
        segments.segments_of(c, track.id),
        expected_ms=track.expected_ms,
        expected_segments=track.expected_segments or session.expected_segments,
    )


def _title(title: str | None, now_ms: int) -> str:
    if title is None or not title.strip():
        return f"Recording, {datetime.fromtimestamp(now_ms / 1000, tz=UTC):%Y-%m-%d}"
    if len(title) > MAX_TITLE:
        raise Invalid(f"a title has at most {MAX_TITLE} characters")
    return title.strip()


def _check_words(name: str, words: Sequence[str]) -> None:
    if len(words) > MAX_LIST or any(not word.strip() or len(word) > 100 for word in words):
        raise Invalid(f"{name}: at most {MAX_LIST}, each of 1 to 100 characters")
