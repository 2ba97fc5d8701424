"""The clean-up: what nobody has touched for long is ended and enriched, or goes when it is empty.

It never deletes what was acknowledged, and never touches what is being recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from longtake.model.lifecycle import RECORDING, SessionState
from longtake.model.session import UPLOAD, Session
from longtake.sessions.lifecycle import Lifecycle
from longtake.sessions.work import Work
from longtake.storage.catalog import requests, sessions, upkeep
from longtake.storage.catalog.recorders import LIVE
from longtake.storage.store import Store

log = structlog.get_logger()

AT_ONCE = 1000
"""Sessions that one clean-up looks at; the rest is the next one's."""
MS_PER_MINUTE = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanedUp:
    """What was done: sessions ended (and enriched), empty ones put into the trash, old requests' answers forgotten."""

    ended: tuple[str, ...]
    removed: tuple[str, ...]
    forgotten_answers: int


class Upkeep:
    """Cleans up. May be called from any thread, by hand and by the clock."""

    def __init__(
        self,
        store: Store,
        work: Work,
        lifecycle: Lifecycle,
        *,
        idle_ms: int,
        waiting_ms: int,
        chores: Sequence[Callable[[], object]] = (),
    ) -> None:
        """`chores` are done each time, too."""
        self._store = store
        self._work = work
        self._lifecycle = lifecycle
        self._idle_ms = idle_ms
        self._waiting_ms = waiting_ms
        self._chores = chores

    def clean_up(self, *, idle_ms: int | None = None, actor: str = "cleanup") -> CleanedUp:
        """Clean up.

        Args:
            idle_ms: For how long nothing must have happened in a session, instead of the settings.
            actor: Who is named in the histories.
        """
        limit_ms = self._idle_ms if idle_ms is None else idle_ms
        waiting_ms = min(limit_ms, self._waiting_ms)
        now_ms = self._store.now_ms()
        with self._store.db.read() as c:
            found = upkeep.idle_sessions(
                c, before_ms=now_ms - limit_ms, waiting_before_ms=now_ms - waiting_ms, limit=AT_ONCE
            )
        ended: list[str] = []
        removed: list[str] = []
        for session_id in found:
            done = self._tidy(session_id, limit_ms, waiting_ms, actor)
            if done is not None:
                (removed if done.trashed_at_ms is not None else ended).append(session_id)
        with self._store.db.write() as c:
            forgotten = requests.forget_answers(c, now_ms)
        if ended or removed:
            log.info("cleaned_up", ended=ended, removed=removed, by=actor)
        self._do_chores()
        return CleanedUp(ended=tuple(ended), removed=tuple(removed), forgotten_answers=forgotten)

    def _do_chores(self) -> None:
        """All of them; the first error only after the last one."""
        failed: list[Exception] = []
        for chore in self._chores:
            try:
                chore()
            except Exception as error:  # noqa: BLE001 - raised below
                failed.append(error)
        if failed:
            raise failed[0]

    def _tidy(self, session_id: str, idle_ms: int, waiting_ms: int, actor: str) -> Session | None:
        """End or remove a session, if nothing happened in it meanwhile either; it as it is then."""
        now_ms = self._store.now_ms()
        with self._store.db.write() as c:
            session = sessions.find_session(c, session_id)
            if session is None or session.state not in upkeep.UNFINISHED or session.trashed_at_ms is not None:
                return None
            limit_ms = waiting_ms if session.state is SessionState.WAITING else idle_ms
            if now_ms - session.last_activity_at_ms <= limit_ms or is_recording(session):
                return None
            if upkeep.is_empty(c, session_id):
                if is_awaited(session):
                    return None
                sessions.update_session(c, session_id, trashed_at_ms=now_ms)
                job = self._work.cancel_in(c, session_id)
                session = sessions.get_session(c, session_id)
            else:
                cause = f"nothing happened for {(now_ms - session.last_activity_at_ms) // MS_PER_MINUTE} minutes"
                session, job = self._lifecycle.end_in(c, session_id, actor=actor, cause=cause)
        self._lifecycle.publish(session)
        self._work.announce(job)
        return session


def is_recording(session: Session) -> bool:
    """Whether somebody is at work on it: it is active, and one of its tracks is.

    When that one falls silent the watch interrupts the session; a session without tracks is only talked in.
    """
    at_work = RECORDING - {SessionState.PAUSED}
    return session.state in at_work and any(track.state in LIVE for track in session.tracks)


def is_awaited(session: Session) -> bool:
    """Whether a whole file is on its way into it: who receives it removes the session if it does not arrive."""
    return session.recording_type == UPLOAD
