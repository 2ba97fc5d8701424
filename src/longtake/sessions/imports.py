"""Whole recorded files as sessions: begun before the bytes, ended behind them, tidied up after a crash between."""

from __future__ import annotations

from longtake.model.lifecycle import SessionState
from longtake.model.session import UPLOAD, Session, Track, TrackKind
from longtake.sessions.lifecycle import Announced, Lifecycle
from longtake.sessions.manager import NewSession, NewTrack, Sessions
from longtake.storage.catalog import sessions
from longtake.storage.store import Store


class Imports:
    """The sessions of files that are being received."""

    def __init__(self, store: Store, manager: Sessions, lifecycle: Lifecycle) -> None:
        self._store = store
        self._manager = manager
        self._lifecycle = lifecycle

    def begin(self, title: str | None, name: str | None, device_id: str | None) -> Track:
        """A session with one track, whose segment 0 the file will be; without a title it is called as the track."""
        session = self._manager.create(NewSession(title=title or name, device_id=device_id, recording_type=UPLOAD))
        return self._manager.declare_track(session.id, NewTrack(kind=TrackKind.UPLOAD, name=name and name[:100]))

    def end(self, track: Track) -> Session:
        """The file is stored: the session is there as a whole."""
        self._lifecycle.start(track.session_id)
        return self._lifecycle.end(track.session_id, [Announced(track_id=track.id, segments=1)])

    def forget(self, session_id: str) -> None:
        """Remove the session of a file that did not arrive; nothing refers to it."""
        with self._store.db.write() as c:
            if not sessions.get_session(c, session_id).counts.total:
                sessions.delete_session(c, session_id)

    def recover(self) -> None:
        """At a start: files that were stored become sessions, those that were not leave nothing."""
        with self._store.db.read() as c:
            begun = sessions.sessions_of_type(c, UPLOAD, (SessionState.IDLE, SessionState.ACTIVE))
        for session in begun:
            if not session.counts.total:
                self.forget(session.id)
            elif session.state is SessionState.IDLE:
                self.end(session.tracks[0])
            else:
                self._lifecycle.end(session.id, [Announced(track_id=session.tracks[0].id, segments=1)])
