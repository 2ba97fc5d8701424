"""Who records just now, and when they were last heard: what the watch looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, or_, select

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


COLUMNS: Sequence[ColumnElement[Any]] = (
    tracks.c.id.label("track_id"),
    tracks.c.session_id,
    sessions.c.state.label("session_state"),
    tracks.c.is_silent,
    tracks.c.heard_at_ms,
    tracks.c.reported_at_ms,
    sessions.c.started_at_ms,
    sessions.c.paused_at_ms,
    sessions.c.resumed_at_ms,
)

RECORDERS = (
    select(*COLUMNS)
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
    heard_at = func.coalesce(tracks.c.heard_at_ms, 0)
    where = or_(heard_at < before_ms, heard_at > now_ms, tracks.c.is_silent.is_(True))
    return [_recorder(row) for row in c.execute(RECORDERS.where(where))]


def recorders_of(c: Connection, session_id: str) -> list[Recorder]:
    """All recorders of a session."""
    return [_recorder(row) for row in c.execute(RECORDERS.where(tracks.c.session_id == session_id))]


def _recorder(row: Row[*tuple[Any, ...]]) -> Recorder:
    asked_at_ms = max(at or 0 for at in (row.started_at_ms, row.paused_at_ms, row.resumed_at_ms))
    return Recorder(
        track_id=row.track_id,
        session_id=row.session_id,
        session_state=SessionState(row.session_state),
        is_silent=row.is_silent,
        heard_at_ms=row.heard_at_ms or asked_at_ms,
        reported_at_ms=row.reported_at_ms,
        asked_at_ms=asked_at_ms,
    )
