"""A session's life: start, pause, resume, end, reset, dismiss; and its tracks' states.

Every step looks the table up (`model.lifecycle`), is one transaction, and is recorded with its time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from longtake.model.errors import IllegalTransition, Invalid
from longtake.model.lifecycle import (
    END_WALK,
    PAUSE_WALK,
    RESUME_WALK,
    SESSION,
    START_WALK,
    TRACK,
    SessionEvent,
    SessionState,
    TrackEvent,
    TrackHealth,
    TrackState,
    walk,
)
from longtake.model.session import Session, Track, Transition
from longtake.sessions.work import Work
from longtake.storage.catalog import sessions, tracks
from longtake.storage.store import Store

TRACK_WALKS: Mapping[TrackState, Mapping[TrackState, tuple[TrackEvent, ...]]] = {
    TrackState.ACTIVE: {
        TrackState.IDLE: (TrackEvent.INITIALIZED, TrackEvent.STARTED),
        TrackState.INITIALIZING: (TrackEvent.STARTED,),
        TrackState.PAUSED: (TrackEvent.RESUMED,),
    },
    TrackState.PAUSED: {TrackState.ACTIVE: (TrackEvent.PAUSED,)},
    TrackState.STOPPED: {
        state: (TrackEvent.STOP_REQUESTED, TrackEvent.STOPPED)
        for state in TrackState
        if TrackEvent.STOP_REQUESTED in TRACK[state]
    }
    | {TrackState.STOPPING: (TrackEvent.STOPPED,)},
    TrackState.INITIALIZING: {TrackState.IDLE: (TrackEvent.INITIALIZED,)},
    TrackState.STOPPING: {
        state: (TrackEvent.STOP_REQUESTED,) for state in TrackState if TrackEvent.STOP_REQUESTED in TRACK[state]
    },
    TrackState.ERROR: {
        state: (TrackEvent.FAILED,) for state in TrackState if TrackEvent.FAILED in TRACK[state]
    },
    TrackState.IDLE: {
        TrackState.STOPPED: (TrackEvent.RESET_REQUESTED,),
        TrackState.ERROR: (TrackEvent.RESET_REQUESTED,),
    },
}  # fmt: skip
"""Target → current → the events between: what a recorder's report, or its session, walks a track through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """What a track should have at the end, as its recorder says."""

    track_id: str
    segments: int | None = None
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackReport:
    """A recorder's heartbeat."""

    state: TrackState | None = None
    health: TrackHealth | None = None
    metrics: Mapping[str, object] | None = None
    error: str | None = None


class Lifecycle:
    """The commands that move sessions and tracks. Each may be called from any thread; one of racing callers wins."""

    def __init__(self, store: Store, work: Work) -> None:
        self._store = store
        self._work = work

    def start(self, session_id: str, *, actor: str = "owner") -> Session:
        """Begin to record: walks and records every state to `active`."""
        return self._move(session_id, START_WALK, actor, TrackState.ACTIVE, stamp="started_at_ms")

    def pause(self, session_id: str, *, actor: str = "owner") -> Session:
        """Pause; media time stands still."""
        return self._move(session_id, PAUSE_WALK, actor, TrackState.PAUSED, stamp="paused_at_ms")

    def resume(self, session_id: str, *, actor: str = "owner") -> Session:
        """Go on after a pause or an interruption."""
        return self._move(session_id, RESUME_WALK, actor, TrackState.ACTIVE, stamp="resumed_at_ms")

    def reset(self, session_id: str, *, actor: str = "owner") -> Session:
        """Leave `error` to try again."""
        return self._move(session_id, (SessionEvent.RESET_REQUESTED,), actor, TrackState.IDLE)

    def dismiss(self, session_id: str, *, actor: str = "owner") -> Session:
        """Leave `error` without trying again."""
        return self._move(session_id, (SessionEvent.DISMISSED,), actor, None)

    def fail(self, session_id: str, cause: str, *, actor: str = "recorder") -> Session:
        """A step failed: to `error`, from where it can be tried again or ended."""
        return self._move(session_id, (SessionEvent.FAILED,), actor, None, cause=cause)

    def lose(self, session_id: str, cause: str, *, actor: str = "watch") -> Session:
        """The recorder vanished: to `interrupted`, from where it can be resumed or ended."""
        return self._move(session_id, (SessionEvent.RECORDER_LOST,), actor, None, cause=cause)

    def end(self, session_id: str, announced: Sequence[Announced] = (), *, actor: str = "owner") -> Session:
        """Stop recording and have the session enriched. Late segments are still taken.

        Raises:
            IllegalTransition: It has ended already. NotFound: An announced track is not of this session.
        """
        now_ms = self._store.now_ms()
        with self._store.db.write() as c:
            session = self._walk(c, session_id, END_WALK, actor, None, now_ms)
            sessions.update_session(c, session_id, ended_at_ms=now_ms, completed_at_ms=now_ms, mix_settled=False)
            for one in announced:
                tracks.get_track(c, one.track_id, session_id)
                if min(one.segments or 0, one.duration_ms or 0) < 0:
                    raise Invalid("segments and duration_ms cannot be negative")
                expected = {"expected_segments": one.segments, "expected_ms": one.duration_ms}
                told = {name: value for name, value in expected.items() if value is not None}
                if told:
                    tracks.update_track(c, one.track_id, **told)
            for track in session.tracks:
                _walk_track(c, track, TrackState.STOPPED)
                tracks.update_track(c, track.id, is_ended=True, media_settled=False, speech_settled=False)
            job = self._work.enqueue_in(c, session_id) if session.tracks else None
            session = sessions.get_session(c, session_id)
        self._publish(session)
        if job is not None:
            self._work.announce(job)
        return session

    def report(self, session_id: str, track_id: str, report: TrackReport) -> Track:
        """Take a recorder's heartbeat."""
        now_ms = self._store.now_ms()
        with self._store.db.write() as c:
            track = tracks.get_track(c, track_id, session_id)
            columns: dict[str, object] = {"error": report.error}
            if report.health is not None:
                columns["health"] = report.health
            if report.metrics is not None:
                columns["metrics"] = {**track.metrics, **report.metrics}
            if report.state is not None and report.state is not track.state:
                if report.state not in TRACK_WALKS or track.state not in TRACK_WALKS[report.state]:
                    allowed = [state.value for state in TRACK_WALKS if track.state in TRACK_WALKS[state]]
                    raise IllegalTransition(state=track.state, event=report.state, allowed=allowed)
                _walk_track(c, track, report.state)
            tracks.update_track(c, track_id, **columns)
            sessions.update_session(c, session_id, last_activity_at_ms=now_ms)
            track = tracks.get_track(c, track_id)
        self._store.bus.publish(
            "track_status", session_id, track_id=track_id, state=track.state.value, health=track.health.value
        )
        return track

    def _move(
        self,
        session_id: str,
        events: Sequence[SessionEvent],
        actor: str,
        track_state: TrackState | None,
        *,
        stamp: str | None = None,
        cause: str | None = None,
    ) -> Session:
        now_ms = self._store.now_ms()
        with self._store.db.write() as c:
            session = self._walk(c, session_id, events, actor, cause, now_ms)
            if stamp is not None and (stamp != "started_at_ms" or session.started_at_ms is None):
                sessions.update_session(c, session_id, **{stamp: now_ms})
            for track in session.tracks:
                if track_state is not None:
                    _walk_track(c, track, track_state)
            session = sessions.get_session(c, session_id)
        self._publish(session)
        return session

    def _walk(
        self,
        c: Connection,
        session_id: str,
        events: Sequence[SessionEvent],
        actor: str,
        cause: str | None,
        now_ms: int,
    ) -> Session:
        """Move and record all steps; returns the session as it was before."""
        session = sessions.open_session(c, session_id)
        states = walk(SESSION, session.state, events)
        sessions.update_session(c, session_id, state=states[-1], last_activity_at_ms=now_ms)
        befores: list[SessionState] = [session.state, *states[:-1]]
        steps = [
            Transition(at_ms=now_ms, from_state=before, to_state=after, event=event.value, actor=actor, cause=cause)
            for before, after, event in zip(befores, states, events, strict=True)
        ]
        sessions.record(c, session_id, steps)
        return session

    def _publish(self, session: Session) -> None:
        self._store.bus.publish(
            "session_status", session.id, state=session.state.value, processing=session.processing.value
        )


def _walk_track(c: Connection, track: Track, target: TrackState) -> None:
    """Walk a track to a state if it can get there; leave it where it is otherwise."""
    events = TRACK_WALKS[target].get(track.state)
    if events:
        tracks.update_track(c, track.id, state=walk(TRACK, track.state, events)[-1])
