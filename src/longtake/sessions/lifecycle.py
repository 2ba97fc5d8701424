"""A session's life: start, pause, resume, end, reset, dismiss; and what it means for its tracks.

Every step looks the table up (`model.lifecycle`), is one transaction, and is recorded with its time, actor and cause.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from longtake.access import OWNER
from longtake.model.errors import Invalid, MissingPermissions
from longtake.model.lifecycle import (
    CHECK_WALK,
    END_WALK,
    PAUSE_WALK,
    RESUME_WALK,
    SESSION,
    START_WALK,
    TRACK,
    Permission,
    SessionEvent,
    SessionState,
    TrackEvent,
    TrackState,
    walk,
)
from longtake.model.permissions import lacking
from longtake.model.session import Job, Session, Track, Transition
from longtake.sessions.work import Work
from longtake.storage.catalog import sessions, tracks
from longtake.storage.store import Store

_STOP = (TrackEvent.STOP_REQUESTED, TrackEvent.STOPPED)
_STOPPABLE = [state for state in TrackState if TrackEvent.STOP_REQUESTED in TRACK[state]]

TRACK_WALKS: Mapping[TrackState, Mapping[TrackState, tuple[TrackEvent, ...]]] = {
    TrackState.ACTIVE: {
        TrackState.IDLE: (TrackEvent.INITIALIZED, TrackEvent.STARTED),
        TrackState.INITIALIZING: (TrackEvent.STARTED,),
        TrackState.PAUSED: (TrackEvent.RESUMED,),
    },
    TrackState.PAUSED: {TrackState.ACTIVE: (TrackEvent.PAUSED,)},
    TrackState.STOPPED: dict.fromkeys(_STOPPABLE, _STOP) | {TrackState.STOPPING: (TrackEvent.STOPPED,)},
    TrackState.INITIALIZING: {TrackState.IDLE: (TrackEvent.INITIALIZED,)},
    TrackState.STOPPING: dict.fromkeys(_STOPPABLE, (TrackEvent.STOP_REQUESTED,)),
    TrackState.ERROR: {
        state: (TrackEvent.FAILED,) for state in TrackState if TrackEvent.FAILED in TRACK[state]
    },
    TrackState.IDLE: {
        TrackState.STOPPED: (TrackEvent.RESET_REQUESTED,),
        TrackState.STOPPING: (TrackEvent.STOPPED, TrackEvent.RESET_REQUESTED),
        TrackState.ERROR: (TrackEvent.RESET_REQUESTED,),
        **dict.fromkeys(
            (TrackState.INITIALIZING, TrackState.ACTIVE, TrackState.PAUSED), (*_STOP, TrackEvent.RESET_REQUESTED)
        ),
    },
}  # fmt: skip
"""Target → current → the events between: what a recorder's report, or its session, walks a track through."""

TRACKS_OF = {
    SessionState.ACTIVE: TrackState.ACTIVE,
    SessionState.PAUSED: TrackState.PAUSED,
    SessionState.COMPLETED: TrackState.STOPPED,
    SessionState.IDLE: TrackState.IDLE,
}
"""Where tracks go with their session; in other states they stay where they are."""

STAMPS = {
    SessionEvent.PAUSED: ("paused_at_ms",),
    SessionEvent.RESUMED: ("resumed_at_ms",),
    SessionEvent.ENDED: ("ended_at_ms", "completed_at_ms"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """What a track should have at the end, as its recorder says."""

    track_id: str
    segments: int | None = None
    duration_ms: int | None = None


class Lifecycle:
    """The commands that move sessions. Each may be called from any thread; one of racing callers wins.

    All raise NotFound, Trashed, and IllegalTransition where the table has no such step.
    """

    def __init__(self, store: Store, work: Work) -> None:
        self._store = store
        self._work = work

    def start(self, session_id: str, *, actor: str = OWNER) -> Session:
        """Begin to record: walks and records every state to `active`.

        While somebody is being asked for a permission it waits in `checking_permissions`; the recorder's next heartbeat
        moves it on.

        Raises:
            MissingPermissions: The recorders of the chosen sources lack some: the session is in `error`.
        """
        with self._store.db.write() as c:
            session = sessions.open_session(c, session_id)
            denied = lacking(session.tracks, Permission.DENIED)
            asked = lacking(session.tracks, Permission.PROMPT)
            if not denied and not asked:
                session = self.walk_in(c, session, START_WALK, actor=actor)
            else:
                session = self.walk_in(c, session, CHECK_WALK, actor=actor)
            if denied:
                session = self.walk_in(c, session, (SessionEvent.FAILED,), actor=actor, cause=missing(denied))
        self.publish(session)
        if denied:
            raise MissingPermissions(missing(denied), permissions=denied, state=session.state.value)
        return session

    def pause(self, session_id: str, *, actor: str = OWNER) -> Session:
        """Pause; media time stands still."""
        return self._move(session_id, PAUSE_WALK, actor)

    def resume(self, session_id: str, *, actor: str = OWNER) -> Session:
        """Go on after a pause or an interruption."""
        return self._move(session_id, RESUME_WALK, actor)

    def reset(self, session_id: str, *, actor: str = OWNER) -> Session:
        """Leave `error` to try again."""
        return self._move(session_id, (SessionEvent.RESET_REQUESTED,), actor)

    def dismiss(self, session_id: str, *, actor: str = OWNER) -> Session:
        """Leave `error` without trying again."""
        return self._move(session_id, (SessionEvent.DISMISSED,), actor)

    def fail(self, session_id: str, cause: str, *, actor: str = "recorder") -> Session:
        """A step failed: to `error`, from where it can be tried again or ended."""
        return self._move(session_id, (SessionEvent.FAILED,), actor, cause=cause)

    def lose(self, session_id: str, cause: str) -> Session:
        """The recorder vanished: to `interrupted`, from where it can be resumed or ended."""
        with self._store.db.write() as c:
            session = self.lose_in(c, session_id, cause)
        self.publish(session)
        return session

    def lose_in(self, c: Connection, session_id: str, cause: str) -> Session:
        """Within a transaction: the same. Call `publish` after the commit."""
        session = sessions.open_session(c, session_id)
        return self.walk_in(c, session, (SessionEvent.RECORDER_LOST,), actor="watch", cause=cause)

    def end(self, session_id: str, announced: Sequence[Announced] = (), *, actor: str = OWNER) -> Session:
        """Stop recording and have the session enriched. Late segments are still taken.

        Raises:
            IllegalTransition: It has ended already. NotFound: An announced track is not of this session.
        """
        with self._store.db.write() as c:
            session, job = self.end_in(c, session_id, announced, actor=actor)
        self.publish(session)
        self._work.announce(job)
        return session

    def end_in(
        self,
        c: Connection,
        session_id: str,
        announced: Sequence[Announced] = (),
        *,
        actor: str,
        cause: str | None = None,
    ) -> tuple[Session, Job | None]:
        """Within a transaction: the same. Call `publish` and announce the job after the commit."""
        session = self.walk_in(c, sessions.open_session(c, session_id), END_WALK, actor=actor, cause=cause)
        sessions.update_session(c, session_id, mix_settled=False)
        for one in announced:
            tracks.get_track(c, one.track_id, session_id)
            if min(one.segments or 0, one.duration_ms or 0) < 0:
                raise Invalid("segments and duration_ms cannot be negative")
            expected = {"expected_segments": one.segments, "expected_ms": one.duration_ms}
            told = {name: value for name, value in expected.items() if value is not None}
            if told:
                tracks.update_track(c, one.track_id, **told)
        for track in session.tracks:
            tracks.update_track(c, track.id, is_ended=True, media_settled=False, speech_settled=False)
        job = self._work.enqueue_in(c, session_id) if session.tracks else None
        return sessions.get_session(c, session_id), job

    def walk_in(
        self,
        c: Connection,
        session: Session,
        events: Sequence[SessionEvent],
        *,
        actor: str,
        cause: str | None = None,
    ) -> Session:
        """Within a transaction: move a session and its tracks, and record every step; it as it is then."""
        now_ms = self._store.now_ms()
        states = walk(SESSION, session.state, events)
        columns: dict[str, object] = {"state": states[-1], **_clocked(session, states, events, now_ms)}
        for event in events:
            columns |= dict.fromkeys(STAMPS.get(event, ()), now_ms)
        if SessionEvent.STARTED in events and session.started_at_ms is None:
            columns["started_at_ms"] = now_ms
        if SessionEvent.RECORDER_LOST not in events:  # what nobody did is no activity
            columns["last_activity_at_ms"] = now_ms
        sessions.update_session(c, session.id, **columns)
        befores: list[SessionState] = [session.state, *states[:-1]]
        steps = [
            Transition(at_ms=now_ms, from_state=before, to_state=after, event=event.value, actor=actor, cause=cause)
            for before, after, event in zip(befores, states, events, strict=True)
        ]
        sessions.record(c, session.id, steps)
        for track in session.tracks:
            _lead(c, track, states[-1], now_ms)
        return sessions.get_session(c, session.id)

    def publish(self, session: Session) -> None:
        """Tell everybody where a session is."""
        self._store.bus.publish(
            "session_status", session.id, state=session.state.value, processing=session.processing.value
        )

    def publish_state(self, session_id: str) -> None:
        """The same for one that is read first."""
        with self._store.db.read() as c:
            session = sessions.find_session(c, session_id)
        if session is not None:
            self.publish(session)

    def publish_track(self, track: Track) -> None:
        """Tell everybody how a track is."""
        self._store.bus.publish(
            "track_status",
            track.session_id,
            track_id=track.id,
            state=track.state.value,
            health=track.health.value,
            metrics=dict(track.metrics),
        )

    def _move(
        self, session_id: str, events: Sequence[SessionEvent], actor: str, *, cause: str | None = None
    ) -> Session:
        with self._store.db.write() as c:
            session = self.walk_in(c, sessions.open_session(c, session_id), events, actor=actor, cause=cause)
        self.publish(session)
        return session


def missing(permissions: Sequence[str]) -> str:
    """What is said of permissions that were refused."""
    return f"missing permissions: {', '.join(permissions)}"


def _clocked(
    session: Session, states: Sequence[SessionState], events: Sequence[SessionEvent], now_ms: int
) -> dict[str, int | None]:
    """How long it has been active: of a lost recorder, until it was last heard."""
    since_ms = session.active_since_ms
    if states[-1] is SessionState.ACTIVE:
        return {"active_since_ms": now_ms if since_ms is None else since_ms}
    if since_ms is None:
        return {}
    until_ms = now_ms
    if SessionEvent.RECORDER_LOST in events:
        until_ms = min(now_ms, max((track.heard_at_ms or 0 for track in session.tracks), default=now_ms))
    return {"recorded_ms": session.recorded_ms + max(0, until_ms - since_ms), "active_since_ms": None}


def _lead(c: Connection, track: Track, state: SessionState, now_ms: int) -> None:
    """Walk a track to where its session went, if it can get there; leave it where it is otherwise."""
    columns: dict[str, object] = {}
    target = TRACKS_OF.get(state)
    events = () if target is None else TRACK_WALKS[target].get(track.state, ())
    if events:
        columns["state"] = walk(TRACK, track.state, events)[-1]
    if state is SessionState.ACTIVE:
        columns |= {"heard_at_ms": now_ms, "is_silent": False}  # from now on it can be missed
    if columns:
        tracks.update_track(c, track.id, **columns)
