"""Segments that the lanes are to take again: somebody asked for it, or their bytes, which were lost, are back."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from longtake.model.lifecycle import SessionState
from longtake.model.session import LaneStatus, Segment, SegmentStatus
from longtake.storage.catalog.segments import segment_of, update_segment
from longtake.storage.catalog.sessions import update_session
from longtake.storage.catalog.tracks import update_track
from longtake.storage.tables import segments, sessions, tracks


def reopen_segment(c: Connection, segment: Segment) -> None:
    """Have both lanes take a segment again; the attempts start anew. The mix of its session is the caller's."""
    update_segment(
        c,
        segment,
        media=LaneStatus.PENDING,
        speech=LaneStatus.PENDING,
        attempts=0,
        kills=0,
        error_code=None,
        error_detail=None,
    )
    update_track(c, segment.track_id, media_settled=False, speech_settled=False, covered=None)


def reopen_healed(c: Connection, digests: Sequence[str]) -> list[tuple[Segment, str, SessionState]]:
    """Bytes that were damaged are whole: have the lanes take again what failed of them.

    Returns them with their sessions, in none of which a job was begun. The trash is left as it is.
    """
    query = (
        select(segments, tracks.c.session_id, sessions.c.state)
        .join(tracks, tracks.c.id == segments.c.track_id)
        .join(sessions, sessions.c.id == tracks.c.session_id)
        .where(segments.c.status == SegmentStatus.FAILED, segments.c.sha256.in_(digests))
        .where(sessions.c.trashed_at_ms.is_(None))
    )
    found = [(segment_of(row), str(row.session_id), SessionState(row.state)) for row in c.execute(query).all()]
    for segment, session_id, _ in found:
        reopen_segment(c, segment)
        update_session(c, session_id, mix_settled=False)
    return found
