"""The watch over recorders: one that is silent for too long turns its track degraded, then its session interrupted.

Belongs here: deciding who is missed. Does not: what a heartbeat does (`sessions.recorders`), the thread
(`sessions.rounds`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import structlog
from sqlalchemy import Connection

from longtake.model.lifecycle import SessionState
from longtake.model.session import Session, Track
from longtake.sessions.lifecycle import Lifecycle
from longtake.storage.catalog import recorders, tracks
from longtake.storage.catalog.recorders import Recorder
from longtake.storage.store import Store

log = structlog.get_logger()

SEGMENT_MS = 60_000
"""The longest usual segment: who sends no heartbeats is given so much more."""
ABSENCE_MS = 15_000
"""After a longer break between two looks the watch itself was away: whoever was silent meanwhile is heard first."""
AT_MOST = 200
"""Sessions in which one look changes something; the rest is the next one's."""
AT_ONCE = 8
"""Of these in one transaction: receipts wait no longer than for a flush of a slow disk."""


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
    """What a look changed: tracks that fell silent (True) or are heard again (False); lost sessions and the cause."""

    silent: dict[str, bool] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)

    @property
    def has_any(self) -> bool:
        return bool(self.silent or self.lost)


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
        changed = Findings()
        with self._store.db.read() as c:
            shortest_ms = min(self._patience.degraded_ms, self._patience.interrupted_ms)
            rows = recorders.unheard(c, now_ms, now_ms - shortest_ms)
            suspects = dict.fromkeys(one.session_id for one in rows if self._is_suspect(one, now_ms))
            changing = (session_id for session_id in suspects if self._judge(c, session_id, now_ms).has_any)
            due = list(islice(changing, AT_MOST))
        for first in range(0, len(due), AT_ONCE):
            self._change(due[first : first + AT_ONCE], now_ms, changed)
        self._looked_ms = self._store.now_ms()
        for session_id, cause in changed.lost.items():
            log.warning("session_interrupted", session=session_id, cause=cause)
        return changed

    def _change(self, session_ids: Sequence[str], now_ms: int, changed: Findings) -> None:
        """Judge sessions again where no sign of life can come between, and carry it out."""
        noted: list[Track] = []
        interrupted: list[Session] = []
        with self._store.db.write() as c:
            for session_id in session_ids:
                found = self._judge(c, session_id, now_ms)
                for track_id, is_silent in found.silent.items():
                    tracks.update_track(c, track_id, is_silent=is_silent)
                    noted.append(tracks.get_track(c, track_id))
                interrupted += [self._lifecycle.lose_in(c, session_id, cause) for cause in found.lost.values()]
                changed.silent.update(found.silent)
                changed.lost.update(found.lost)
        for track in noted:
            self._lifecycle.publish_track(track)
        for session in interrupted:
            self._lifecycle.publish(session)

    def _judge(self, c: Connection, session_id: str, now_ms: int) -> Findings:
        """What has to be changed in a session."""
        found = Findings()
        of = recorders.recorders_of(c, session_id)
        for one in of:
            is_silent = self._is_missed(one, now_ms, self._patience.degraded_ms)
            if is_silent is not one.is_silent:
                found.silent[one.track_id] = is_silent
        if of and all(self._is_missed(one, now_ms, self._patience.interrupted_ms) for one in of):
            silence_ms = now_ms - max(self._heard_ms(one, now_ms) for one in of)
            found.lost[session_id] = f"nothing was heard of its recorder for {silence_ms // 1000} s"
        return found

    def _is_suspect(self, one: Recorder, now_ms: int) -> bool:
        is_silent = self._is_missed(one, now_ms, self._patience.degraded_ms)
        return is_silent is not one.is_silent or self._is_missed(one, now_ms, self._patience.interrupted_ms)

    def _is_missed(self, one: Recorder, now_ms: int, limit_ms: int) -> bool:
        extra_ms = self._patience.extra_ms(one)
        return extra_ms is not None and now_ms - self._heard_ms(one, now_ms) > limit_ms + extra_ms

    def _heard_ms(self, one: Recorder, now_ms: int) -> int:
        """When it was last heard, or could not be heard because nobody listened or the clock was set back."""
        return max(self._since_ms, one.heard_at_ms if one.heard_at_ms <= now_ms else self._since_ms)
