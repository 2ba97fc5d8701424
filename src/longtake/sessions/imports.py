"""Whole recorded files as sessions: begun before the bytes, ended behind them, tidied up after a crash between."""

from __future__ import annotations

import structlog

from longtake.access import OWNER, acting
from longtake.model.errors import Unavailable
from longtake.model.lifecycle import SessionState
from longtake.model.session import UPLOAD, Session, Track, TrackKind
from longtake.sessions.lifecycle import Announced, Lifecycle
from longtake.sessions.manager import NewSession, NewTrack, Sessions
from longtake.storage.catalog import sessions
from longtake.storage.store import Store

log = structlog.get_logger()


class Imports:
    """The sessions of files that are being received."""

    def __init__(self, store: Store, manager: Sessions, lifecycle: Lifecycle) -> None:
        self._store = store
        self._manager = manager
        self._lifecycle = lifecycle
        self._left: set[str] = set()

    def begin(self, title: str | None, name: str | None, device_id: str | None) -> Track:
        """A session with one track, whose segment 0 the file will be; without a title it is called as the track."""
        session = self._manager.create(
            NewSession(title=title or name, device_id=device_id, recording_type=UPLOAD),
            actor=acting(device_id, OWNER),
        )
        try:
            new = NewTrack(kind=TrackKind.UPLOAD, name=name and name[:100], device_id=device_id)
            return self._manager.declare_track(session.id, new)
        except BaseException:
            self.forget(session.id)
            raise

    def end(self, track: Track) -> Session:
        """The file is stored: the session is there as a whole."""
        self._lifecycle.start(track.session_id, actor=acting(track.device_id, OWNER))
        return self._end(track)

    def forget(self, session_id: str) -> None:
        """Remove the session of a file that did not arrive, now or, when the disk refuses, with `forget_left`."""
        try:
            with self._store.db.write() as c:
                session = sessions.find_session(c, session_id)
                if session is not None and not session.counts.total:
                    sessions.delete_session(c, session_id)
        except Unavailable as error:  # whoever sent the file hears why it was refused, not this
            log.warning("import_not_forgotten", session=session_id, code=error.code)
            self._left.add(session_id)

    def forget_left(self) -> None:
        """Remove what could not be removed when its file did not arrive."""
        for session_id in tuple(self._left):
            self._left.discard(session_id)
            self.forget(session_id)

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
                self._end(session.tracks[0])

    def _end(self, track: Track) -> Session:
        announced = [Announced(track_id=track.id, segments=1)]
        return self._lifecycle.end(track.session_id, announced, actor=acting(track.device_id, OWNER))
