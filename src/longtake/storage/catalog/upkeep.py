"""What the clean-up asks: which sessions nobody has touched for long, and what is in them."""

from __future__ import annotations

from sqlalchemy import Connection, and_, exists, or_, select

from longtake.model.lifecycle import SessionState
from longtake.storage.tables import entries, segments, sessions, tracks
from longtake.storage.tables_remarks import markers, summaries

UNFINISHED = tuple(state for state in SessionState if state not in (SessionState.COMPLETED, SessionState.ENDING))
CONTENT = (entries, markers, summaries)
"""Tables, beside segments, whose rows somebody gave: a session that has one is not empty. All others are bookkeeping,
or can be made again."""


def idle_sessions(c: Connection, *, before_ms: int, waiting_before_ms: int, limit: int) -> list[str]:
    """The unfinished sessions in which nothing happened since a moment (another for those that wait), oldest first."""
    is_old = or_(
        sessions.c.last_activity_at_ms < before_ms,
        and_(sessions.c.state == SessionState.WAITING, sessions.c.last_activity_at_ms < waiting_before_ms),
    )
    is_there = and_(sessions.c.trashed_at_ms.is_(None), sessions.c.purged_at_ms.is_(None))
    query = select(sessions.c.id).where(sessions.c.state.in_(UNFINISHED), is_there, is_old)
    return list(c.execute(query.order_by(sessions.c.last_activity_at_ms).limit(limit)).scalars())


def is_empty(c: Connection, session_id: str) -> bool:
    """Whether a session holds nothing that anybody gave it."""
    of_session = select(tracks.c.id).where(tracks.c.session_id == session_id)
    there = [exists().where(segments.c.track_id.in_(of_session))]
    there += [exists().where(table.c.session_id == session_id) for table in CONTENT]
    return not c.execute(select(or_(*there))).scalar_one()
