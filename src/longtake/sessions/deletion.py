"""Deleting for good: a session with all that belongs to it, or only what was recorded.

Order: a mark on the session (from then on nobody sees it, or its recordings) → a tombstone in the packs, flushed, so
that a rebuild never brings it back → the rows, in steps between which others store. Bytes without a reference are left
to the collector. What was cut off anywhere goes on at the next start.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import structlog
from sqlalchemy import Connection

from longtake.model.errors import IllegalTransition, JobActive, Unavailable
from longtake.model.lifecycle import SessionState
from longtake.model.session import Job, Session
from longtake.sessions.work import Work
from longtake.storage.blobs import StoreName
from longtake.storage.catalog import deletion as rows
from longtake.storage.catalog import jobs, sessions
from longtake.storage.database import unhurried
from longtake.storage.packs import AUDIO_DELETED, PURGED, Record
from longtake.storage.store import Store

AT_ONCE = 100
"""Sessions of the trash that are looked for at a time."""

Result = TypeVar("Result")

log = structlog.get_logger()


class Deletion:
    """Deletes. Thread-safe: rows are removed for one session at a time."""

    def __init__(self, store: Store, work: Work, *, trash_ms: int, forget: Callable[[], None] = lambda: None) -> None:
        """Nothing happens yet.

        Args:
            store: Where.
            work: Cancels the jobs.
            trash_ms: How long a session lies in the trash.
            forget: Called when bytes must no longer be known in memory.
        """
        self._store = store
        self._work = work
        self._trash_ms = trash_ms
        self._forget = forget
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self.count = 0
        """How many deletions have been begun."""

    def purge(self, session_id: str) -> None:
        """Delete a session, whether it lies in the trash or not; raises NotFound."""
        with self._store.db.write() as c:
            sessions.check_there(c, session_id)
            at_ms, cancelled = self._mark_purged(c, session_id)
        self._work.announce(cancelled)
        self._finish_purge(session_id, at_ms)

    def purge_expired(self, now_ms: int | None = None) -> list[str]:
        """Delete the sessions that have lain in the trash for too long, and finish what a full disk has cut off.

        Returns:
            Their ids.
        """
        self.recover()
        before_ms = (self._store.now_ms() if now_ms is None else now_ms) - self._trash_ms
        purged: list[str] = []
        while not self._stopping.is_set():
            with self._store.db.read() as c:
                found = rows.expired_sessions(c, before_ms, AT_ONCE)
            if not found:
                break
            for session_id in found:
                with self._store.db.write() as c:
                    session = sessions.find_session(c, session_id)
                    if session is None or session.trashed_at_ms is None or session.trashed_at_ms > before_ms:
                        continue  # somebody was faster
                    at_ms, cancelled = self._mark_purged(c, session_id)
                self._work.announce(cancelled)
                self._finish_purge(session_id, at_ms)
                purged.append(session_id)
        return purged

    def delete_audio(self, session_id: str) -> Session:
        """Delete what was recorded in a session; what was said and made of it in text stays. Twice is once.

        Raises:
            NotFound, Trashed: There is no such session, or it lies in the trash. IllegalTransition: It has not ended.
            JobActive: Its recordings are still being worked on.
        """
        with self._store.db.write() as c:
            session = sessions.open_session(c, session_id)
            if session.state is not SessionState.COMPLETED:
                raise IllegalTransition(state=session.state.value, event="delete_audio", allowed=["end"])
            active = jobs.active_job(c, session_id)
            if active is not None:
                raise JobActive(f"job {active.id} of this session is {active.status.value}", job_id=active.id)
            at_ms = session.audio_deleted_at_ms
            if at_ms is None:
                at_ms = self._store.now_ms()
                self.count += 1
                rows.mark_audio_deleted(c, session_id, at_ms)
        if session.audio_deleted_at_ms is None:
            self._finish_audio(session_id, at_ms)
        with self._store.db.read() as c:
            return sessions.get_session(c, session_id)

    def recover(self) -> int:
        """Finish what was cut off; returns how many sessions that were. What the disk refuses is left for later."""
        with self._store.db.read() as c:
            purged, halves = rows.purged_sessions(c), rows.half_deleted_sessions(c)
        try:
            for session_id, at_ms in purged:
                self._finish_purge(session_id, at_ms)
            for session_id, at_ms in halves:
                self._finish_audio(session_id, at_ms)
        except Unavailable as error:
            log.warning("deletion_waits", code=error.code, error=error)
        return len(purged) + len(halves)

    def close(self) -> None:
        """Stop between two steps; what is left goes on at the next start."""
        self._stopping.set()
        with self._lock:
            pass

    def _mark_purged(self, c: Connection, session_id: str) -> tuple[int, Job | None]:
        """When, and the job that was cancelled."""
        at_ms = self._store.now_ms()
        self.count += 1
        rows.mark_purged(c, session_id, at_ms)
        return at_ms, self._work.cancel_in(c, session_id)

    def _finish_purge(self, session_id: str, at_ms: int) -> None:
        self._forget()
        self._bury(PURGED, session_id, at_ms)
        with self._lock:
            while not self._stopping.is_set():
                self._repeat(lambda c: rows.drop_texts(c, session_id))
                self._repeat(lambda c: rows.drop_blocks(c, session_id, self._store.now_ms()))
                self._repeat(lambda c: rows.drop_segments(c, session_id, self._store.now_ms()))
                if self._step(lambda c: self._end_purge(c, session_id)):
                    return

    def _end_purge(self, c: Connection, session_id: str) -> bool:
        """Remove the session's row, unless a lane that was still at work has added something meanwhile."""
        now_ms = self._store.now_ms()
        rows.drop_artifacts(c, session_id, now_ms, with_texts=True)
        if rows.drop_blocks(c, session_id, now_ms) or rows.drop_segments(c, session_id, now_ms):
            return False
        rows.drop_session(c, session_id)
        return True

    def _finish_audio(self, session_id: str, at_ms: int) -> None:
        self._forget()
        with self._lock:
            self._note_entries(session_id)
            if self._stopping.is_set():
                return
            self._bury(AUDIO_DELETED, session_id, at_ms)
            self._repeat(lambda c: rows.drop_segments(c, session_id, self._store.now_ms()))
            self._repeat(lambda c: rows.drop_blocks(c, session_id, self._store.now_ms()))
            self._step(lambda c: rows.drop_artifacts(c, session_id, self._store.now_ms(), with_texts=False))

    def _note_entries(self, session_id: str) -> None:
        """Have everything that was heard written to the journal: nothing can hear it again."""
        last: str | None = ""
        while last is not None and not self._stopping.is_set():
            last = self._step(partial(rows.note_entries, session_id=session_id, after=last))

    def _bury(self, kind: str, session_id: str, at_ms: int) -> None:
        """Write the tombstone; it is durable when this returns."""
        record = Record(head={"kind": kind, "session": session_id, "at_ms": at_ms})
        self._store.blobs.append(StoreName.PACKS, [record])

    def _repeat(self, step: Callable[[Connection], int]) -> None:
        """Repeat a step until there is nothing left for it, or everything stops."""
        while not self._stopping.is_set() and self._step(step):
            pass

    def _step(self, step: Callable[[Connection], Result]) -> Result:
        """One transaction, and a rest."""
        with unhurried(self._store.db.write(), self._stopping) as c:
            return step(c)
