"""Sessions as they are shown, with what their rows alone do not say; what was cleaned up and collected."""

from __future__ import annotations

from longtake.model.session import Session
from longtake.runtime import Runtime
from longtake.sessions.upkeep import CleanedUp
from longtake.storage.collect import Collected
from longtake.wire.attachments import CollectAnswer
from longtake.wire.sessions import CoverageSummary, SessionAnswer
from longtake.wire.transcript import task_id
from longtake.wire.upkeep import CleanUpAnswer


class SessionViews:
    """Makes answers of sessions. Thread-safe."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

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
        found = self._runtime.sessions.figures(session)
        return CoverageSummary(
            expected_ms=max((one.expected_ms for one in found), default=0),
            stored_ms=max((one.stored_ms for one in found), default=0),
            gap_count=sum(one.gap_count for one in found),
        )


def collected(done: Collected) -> CollectAnswer:
    """What a collection has removed."""
    return CollectAnswer(deleted=done.deleted, bytes=done.size_bytes, freed_bytes=done.freed_bytes, packs=done.packs)


def cleaned_up(done: CleanedUp) -> CleanUpAnswer:
    """What a clean-up has done."""
    return CleanUpAnswer(ended=list(done.ended), removed=list(done.removed), forgotten_answers=done.forgotten_answers)
