"""The watch over recorders: one that is silent for too long turns its track degraded, then its session interrupted.

Belongs here: deciding who is missed. Does not: what a heartbeat does (`sessions.recorders`), the thread
(`sessions.rounds`).
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from longtake.model.lifecycle import SessionState
from longtake.model.session import Session, Track
from longtake.sessions.lifecycle import Lifecycle
from longtake.storage.catalog import recorders, tracks
from longtake.storage.catalog.recorders import Recorder
from longtake.storage.store import Store

SEGMENT_MS = 60_000
"""The longest usual segment: who sends no heartbeats is given so much more."""
ABSENCE_MS = 15_000
"""After a longer break between two looks the watch itself was away: whoever was silent meanwhile is heard first."""
AT_ONCE = 200
"""Sessions that are interrupted in one transaction; receipts wait for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """For how long a recorder may be silent."""

    degraded_ms: int
    interrupted_ms: int

    def extra_ms(self, recorder: Recorder) -> int | None:
        """How much longer this one may be silent; None: it is not missed at all.

        Who sends heartbeats is missed when they stop, in a pause, too. Who sends segments only is not missed between
        two of them, nor in a pause.
        """
        reported = recorder.reported_at_ms
        is_regular = reported is not None and recorder.heard_at_ms - reported <= self.degraded_ms
        if reported is not None and is_regular and reported > recorder.asked_at_ms:
            return 0
        return SEGMENT_MS if recorder.session_state is SessionState.ACTIVE else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a look found: tracks that fell silent (True) or are heard again (False); lost sessions and the cause."""

    silent: dict[str, bool]
    lost: dict[str, str]


class Watch:
    """Looks at all recorders with one query a time; remembers no session."""

    def __init__(self, store: Store, lifecycle: Lifecycle, patience: Patience) -> None:
        self._store = store
        self._lifecycle = lifecycle
        self._patience = patience
        self._looked_ms = self._since_ms = store.now_ms()

    def look(self) -> Findings:
        """Mark who fell silent, interrupt what has lost all its recorders; returns what was changed."""
        now_ms = self._store.now_ms()
        if not self._looked_ms <= now_ms <= self._looked_ms + ABSENCE_MS:
            self._since_ms = now_ms
        self._looked_ms = now_ms
        with self._store.db.read() as c:
            found = self._find(c, now_ms)
        if not found.silent and not found.lost:
            return found
        changed: list[Track] = []
        interrupted: list[Session] = []
        with self._store.db.write() as c:
            found = self._find(c, now_ms)  # a sign of life may have come meanwhile; now none can
            for track_id, is_silent in found.silent.items():
                tracks.update_track(c, track_id, is_silent=is_silent)
                changed.append(tracks.get_track(c, track_id))
            for session_id, cause in found.lost.items():
                interrupted.append(self._lifecycle.lose_in(c, session_id, cause))
        for track in changed:
            self._lifecycle.publish_track(track)
        for session in interrupted:
            self._lifecycle.publish(session)
        return found

    def _find(self, c: Connection, now_ms: int) -> Findings:
        rows = recorders.unheard(c, now_ms, now_ms - self._patience.degraded_ms)
        silent = {}
        for one in rows:
            is_silent = self._is_missed(one, now_ms, self._patience.degraded_ms)
            if is_silent is not one.is_silent:
                silent[one.track_id] = is_silent
        limit_ms = self._patience.interrupted_ms
        suspects = list(dict.fromkeys(one.session_id for one in rows if self._is_missed(one, now_ms, limit_ms)))
        if not suspects:
            return Findings(silent=silent, lost={})
        lost = {
            session_id: f"nothing was heard of its recorder for {self._silence_ms(of, now_ms) // 1000} s"
            for session_id, of in recorders.recorders_of(c, suspects[:AT_ONCE]).items()
            if all(self._is_missed(one, now_ms, limit_ms) for one in of)
        }
        return Findings(silent=silent, lost=lost)

    def _is_missed(self, one: Recorder, now_ms: int, limit_ms: int) -> bool:
        extra_ms = self._patience.extra_ms(one)
        return extra_ms is not None and self._silence_ms([one], now_ms) > limit_ms + extra_ms

    def _silence_ms(self, of: list[Recorder], now_ms: int) -> int:
        """For how long nothing could be heard though somebody listened."""
        heard = [one.heard_at_ms if one.heard_at_ms <= now_ms else self._since_ms for one in of]
        return now_ms - max(self._since_ms, *heard)
