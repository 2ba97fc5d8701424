"""What recorders say of themselves: heartbeats, permissions, and the segments of one that was believed lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from longtake.access import acting
from longtake.model.errors import IllegalTransition
from longtake.model.lifecycle import (
    GRANTED_WALK,
    PAUSE_WALK,
    RESUME_WALK,
    TRACK,
    Permission,
    SessionEvent,
    SessionState,
    TrackHealth,
    TrackState,
    walk,
)
from longtake.model.permissions import lacking
from longtake.model.session import Session, Track
from longtake.sessions.lifecycle import TRACK_WALKS, Lifecycle, missing
from longtake.storage.catalog import sessions, tracks
from longtake.storage.catalog.recorders import LIVE
from longtake.storage.store import Store

ENDED = (TrackState.STOPPING, TrackState.STOPPED, TrackState.ERROR)
"""What a recorder may still report when its session has ended."""
AWAITING = (SessionState.INTERRUPTED, SessionState.CHECKING_PERMISSIONS)
"""States of a session that a heartbeat may end."""
RECORDER = "recorder"
BACK = "its recorder is back"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackReport:
    """A recorder's heartbeat; what it leaves out stays as it was, but for the error. `permissions` are all it has."""

    state: TrackState | None = None
    health: TrackHealth | None = None
    metrics: Mapping[str, object] | None = None
    permissions: Mapping[str, Permission] | None = None
    error: str | None = None


class Recorders:
    """Heartbeats and other signs of life. May be called from any thread."""

    def __init__(self, store: Store, lifecycle: Lifecycle) -> None:
        self._store = store
        self._lifecycle = lifecycle

    def report(self, session_id: str, track_id: str, report: TrackReport, *, device_id: str | None = None) -> Track:
        """Take a heartbeat. It moves the track; an interrupted session goes on, one that waits for permissions starts.

        Args:
            device_id: What sends it; else the track's own device is meant.

        Raises:
            NotFound: There is no such session or track. Trashed: The session lies in the trash.
            IllegalTransition: The track cannot get to that state.
        """
        now_ms = self._store.now_ms()
        with self._store.db.write() as c:
            state = sessions.open_state(c, session_id)
            track = tracks.get_track(c, track_id, session_id)
            columns: dict[str, object] = {"reported_at_ms": now_ms, "heard_at_ms": now_ms, "is_silent": False}
            if report.health is not None:
                columns["health"] = report.health
            if report.metrics is not None:
                columns["metrics"] = {**track.metrics, **report.metrics}
            if report.permissions is not None:
                columns["permissions"] = {name: word.value for name, word in report.permissions.items()}
                track = replace(track, permissions=report.permissions)
            if report.state is not None and report.state is not track.state:
                columns["state"] = _target(state, track, report.state)
            refused = lacking([track], Permission.DENIED)
            columns["error"] = report.error or (f"permission refused: {', '.join(refused)}" if refused else None)
            tracks.update_track(c, track_id, **columns)
            sessions.update_session(c, session_id, last_activity_at_ms=now_ms)
            moved = self._follow(c, tracks.get_track(c, track_id), device_id) if state in AWAITING else None
            track = tracks.get_track(c, track_id)
        self._lifecycle.publish_track(track)
        if moved is not None:
            self._lifecycle.publish(moved)
        return track

    def note_segments(self, c: Connection, session_id: str, track_ids: Sequence[str]) -> None:
        """Within a transaction: segments came for an interrupted session; it goes on if its recorder sends only those.

        A recorder that sent heartbeats since it was last asked to record says by a heartbeat that it is back: its
        segments may have been recorded before.
        """
        session = sessions.get_session(c, session_id)
        if session.state is not SessionState.INTERRUPTED:
            return
        for track in session.tracks:
            if track.id in track_ids and track.state in LIVE and (track.reported_at_ms or 0) <= session.asked_at_ms:
                self._lifecycle.walk_in(c, session, RESUME_WALK, actor=acting(track.device_id, RECORDER), cause=BACK)
                return

    def _follow(self, c: Connection, track: Track, device_id: str | None) -> Session | None:
        """Within a transaction: what follows for the session; it as it is then, if anything."""
        session = sessions.get_session(c, track.session_id)
        walks: list[tuple[Sequence[SessionEvent], str | None]] = []
        if session.state is SessionState.INTERRUPTED and track.state is TrackState.ACTIVE:
            walks = [(RESUME_WALK, BACK)]
        elif session.state is SessionState.INTERRUPTED and track.state is TrackState.PAUSED:
            walks = [((*RESUME_WALK, *PAUSE_WALK), BACK)]
        elif session.state is SessionState.CHECKING_PERMISSIONS:
            if denied := lacking(session.tracks, Permission.DENIED):
                walks = [((SessionEvent.FAILED,), missing(denied))]
            elif not lacking(session.tracks, Permission.PROMPT):
                walks = [(GRANTED_WALK, None)]
        for events, cause in walks:
            actor = acting(device_id or track.device_id, RECORDER)
            self._lifecycle.walk_in(c, session, events, actor=actor, cause=cause)
        return sessions.get_session(c, session.id) if walks else None


def _target(session_state: SessionState, track: Track, wanted: TrackState) -> TrackState:
    """The state that a recorder reports, if its track can get there; raises IllegalTransition."""
    targets = ENDED if session_state is SessionState.COMPLETED else TRACK_WALKS
    possible = [state for state in TRACK_WALKS if state in targets and track.state in TRACK_WALKS[state]]
    if wanted not in possible:
        raise IllegalTransition(state=track.state, event=wanted, allowed=[state.value for state in possible])
    return walk(TRACK, track.state, TRACK_WALKS[wanted][track.state])[-1]
