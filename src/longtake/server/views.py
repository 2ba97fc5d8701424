"""Sessions as they are shown, with what their rows alone do not say.

A session's coverage is computed from its segments once for each state of its counters, so that asking again for a long
session costs as little as for a short one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from longtake.model.session import Session
from longtake.runtime import Runtime
from longtake.wire.sessions import CoverageSummary, SessionAnswer
from longtake.wire.transcript import task_id

KEPT = 2000


class SessionViews:
    """Makes answers of sessions. Thread-safe."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        self._coverage: OrderedDict[tuple[object, ...], CoverageSummary] = OrderedDict()

    def get(self, session_id: str) -> SessionAnswer:
        """A session's metadata; raises NotFound."""
        return self.of(self._runtime.sessions.get(session_id))

    def of(self, session: Session) -> SessionAnswer:
        """The metadata of a session that was read already."""
        outline = self._runtime.transcripts.outline(session.id)
        tasks = () if outline is None else outline.tasks
        return SessionAnswer.of(
            session, coverage=self._summary(session), task_ids=[task_id(number) for number in range(len(tasks))]
        )

    def is_whole(self, session: Session) -> bool:
        """Whether everything is there that should have been recorded."""
        return self._summary(session).gap_count == 0 and not session.counts.failed

    def _summary(self, session: Session) -> CoverageSummary:
        key = (
            session.id,
            session.expected_segments,
            *((t.id, t.counts, t.length_ns, t.expected_ms, t.expected_segments) for t in session.tracks),
        )
        with self._lock:
            known = self._coverage.get(key)
            if known is not None:
                self._coverage.move_to_end(key)
                return known
        found = [one.coverage for one in self._runtime.sessions.coverage(session.id)]
        summary = CoverageSummary(
            expected_ms=max((one.expected_ms for one in found), default=0),
            stored_ms=max((one.stored_ms for one in found), default=0),
            gap_count=sum((len(one.gaps) or bool(one.missing)) + len(one.damaged) for one in found),
        )
        with self._lock:
            self._coverage[key] = summary
            while len(self._coverage) > KEPT:
                self._coverage.popitem(last=False)
        return summary
