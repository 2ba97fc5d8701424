"""Who records just now, and when they were last heard: what the watch looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, case, func, or_, select

from longtake.model.lifecycle import RECORDING, SessionState, TrackState
from longtake.model.session import TrackKind
from longtake.storage.tables import sessions, tracks

LIVE = (TrackState.INITIALIZING, TrackState.ACTIVE, TrackState.PAUSED)
"""States of a track in which somebody is at work on it."""
WATCHED_KINDS = tuple(kind for kind in TrackKind if kind not in (TrackKind.UPLOAD, TrackKind.MIX))
"""Kinds of tracks that have a recorder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """A track that is being recorded. `asked_at_ms`: when it was last asked to start, pause or resume."""

    track_id: str
    session_id: str
    session_state: SessionState
    is_silent: bool
    heard_at_ms: int
    reported_at_ms: int | None
    asked_at_ms: int


def _later(column: ColumnElement[int], other: ColumnElement[int]) -> ColumnElement[int]:
    return case((column > other, column), else_=other)


ASKED_AT = _later(
    func.coalesce(sessions.c.resumed_at_ms, 0),
    _later(func.coalesce(sessions.c.paused_at_ms, 0), func.coalesce(sessions.c.started_at_ms, 0)),
)
HEARD_AT = func.coalesce(tracks.c.heard_at_ms, ASKED_AT)

RECORDERS = (
    select(
        tracks.c.id.label("track_id"),
        tracks.c.session_id,
        sessions.c.state.label("session_state"),
        tracks.c.is_silent,
        HEARD_AT.label("heard_at_ms"),
        tracks.c.reported_at_ms,
        ASKED_AT.label("asked_at_ms"),
    )
    .join(sessions, sessions.c.id == tracks.c.session_id)
    .where(
        sessions.c.state.in_(RECORDING),
        sessions.c.trashed_at_ms.is_(None),
        sessions.c.purged_at_ms.is_(None),
        tracks.c.state.in_(LIVE),
        tracks.c.kind.in_(WATCHED_KINDS),
    )
)


def unheard(c: Connection, now_ms: int, before_ms: int) -> list[Recorder]:
    """The recorders last heard before a moment (or, by a clock that was set back, after now), and those that are marked
    as silent."""
    is_heard = HEARD_AT.between(before_ms, now_ms)
    where = or_(~is_heard, tracks.c.is_silent.is_(True))
    return [Recorder(**row) for row in c.execute(RECORDERS.where(where)).mappings()]


def recorders_of(c: Connection, session_ids: Sequence[str]) -> dict[str, list[Recorder]]:
    """All recorders of some sessions, by session."""
    found: dict[str, list[Recorder]] = {}
    for row in c.execute(RECORDERS.where(tracks.c.session_id.in_(session_ids))).mappings():
        found.setdefault(row["session_id"], []).append(Recorder(**row))
    return found
