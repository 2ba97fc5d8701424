"""What follows from segments that were stored: late ones reopen a session, and the lanes are told."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from longtake.ingest.committer import Stored
from longtake.model.lifecycle import SessionState
from longtake.sessions.lifecycle import Lifecycle
from longtake.sessions.recorders import Recorders
from longtake.sessions.work import Work
from longtake.storage.catalog import sessions
from longtake.storage.store import Store


class Arrivals:
    """The two moments: the transaction that stores them, and after it."""

    def __init__(self, store: Store, work: Work, lifecycle: Lifecycle, recorders: Recorders) -> None:
        self._store = store
        self._work = work
        self._lifecycle = lifecycle
        self._recorders = recorders

    def in_transaction(self, c: Connection, stored: Sequence[Stored]) -> None:
        """Note what is alive, and what has to be made anew or has come back."""
        heard = {one.session_id: one.state for one in stored if one.is_new}
        sessions.note_arrivals(c, list(heard), self._store.now_ms())
        for session_id, state in {one.session_id: one.state for one in stored}.items():
            if state is SessionState.COMPLETED:  # a late segment: what is derived from the session is made anew
                self._work.enqueue_in(c, session_id)
            elif state is SessionState.INTERRUPTED and session_id in heard:
                self._recorders.note_segments(c, session_id, [one.segment.track_id for one in stored if one.is_new])

    def after_commit(self, stored: Sequence[Stored]) -> None:
        """Tell whoever works on them, or shows them."""
        for session_id, state in {one.session_id: one.state for one in stored}.items():
            self._store.bus.publish("work", session_id)
            if state is SessionState.COMPLETED:
                self._work.announce_active(session_id)
            elif state is SessionState.INTERRUPTED:
                self._lifecycle.publish_state(session_id)
