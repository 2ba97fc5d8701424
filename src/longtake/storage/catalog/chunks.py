"""A session's chunks: the segments of one index over all tracks of sound; counted without reading them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Select, func, select, union

from longtake.model.session import AUDIO_KINDS, Segment, SegmentStatus, Track
from longtake.storage.catalog.segments import segment_of
from longtake.storage.tables import segments, tracks

RANK = (SegmentStatus.FAILED, SegmentStatus.PENDING, SegmentStatus.PROCESSING, SegmentStatus.COMPLETED)
"""A chunk has the first status of these that one of its segments has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """The segments of one index. `id` is that of the segment that gives it its status (of tracks: the first)."""

    id: str
    index: int
    status: SegmentStatus
    error: str | None
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkCounts:
    """How many chunks a session has, how many are whole, and in how many a segment failed."""

    total: int
    completed: int
    failed: int


def audible(all_tracks: Sequence[Track]) -> list[Track]:
    """The tracks of sound that have segments."""
    return [track for track in all_tracks if track.kind in AUDIO_KINDS and track.counts.total]


def count_chunks(c: Connection, all_tracks: Sequence[Track]) -> ChunkCounts:
    """Count a session's chunks.

    A single track has counted its own. With more, the indices that are not done are looked up (an index holds them),
    and the others counted only where a track has holes: without any, as many are there as the longest track has.
    """
    found = audible(all_tracks)
    if not found:
        return ChunkCounts(total=0, completed=0, failed=0)
    if len(found) == 1:
        counts = found[0].counts
        return ChunkCounts(total=counts.total, completed=counts.completed, failed=counts.failed)
    ids = [track.id for track in found]
    lasts: Mapping[str, int] = {
        key: c.execute(select(func.max(segments.c.number)).where(segments.c.track_id == key)).scalar_one()
        for key in ids
    }
    longest = max(found, key=lambda track: lasts[track.id])
    if longest.counts.total == lasts[longest.id] + 1:
        total = longest.counts.total
    else:
        every = select(segments.c.number).where(segments.c.track_id.in_(ids))
        total = _count(c, every)
    failed = select(segments.c.number).where(segments.c.track_id.in_(ids), segments.c.status == "failed")
    waiting = [
        select(segments.c.number).where(segments.c.track_id.in_(ids), segments.c[lane] == "pending")
        for lane in ("media", "speech")
    ]
    undone = c.execute(select(func.count()).select_from(union(failed, *waiting).subquery())).scalar_one()
    return ChunkCounts(total=total, completed=total - undone, failed=_count(c, failed))


def list_chunks(c: Connection, all_tracks: Sequence[Track], *, limit: int | None = None) -> list[Chunk]:
    """The first chunks of a session, or all, by index."""
    by_index: dict[int, list[Segment]] = {}
    for track in audible(all_tracks):
        query = select(segments).where(segments.c.track_id == track.id).order_by(segments.c.number)
        for row in c.execute(query if limit is None else query.limit(limit)):
            by_index.setdefault(row.number, []).append(segment_of(row))
    return [_chunk(index, by_index[index]) for index in sorted(by_index)[:limit]]


def find_chunk(c: Connection, segment_id: str) -> tuple[str, Chunk] | None:
    """The session and chunk that a segment of sound belongs to; None if there is no such segment."""
    home = select(tracks.c.session_id, segments.c.number).join(segments, segments.c.track_id == tracks.c.id)
    row = c.execute(home.where(segments.c.id == segment_id, tracks.c.kind.in_(AUDIO_KINDS))).one_or_none()
    if row is None:
        return None
    same = (
        select(segments)
        .join(tracks, tracks.c.id == segments.c.track_id)
        .where(
            tracks.c.session_id == row.session_id,
            tracks.c.kind.in_(AUDIO_KINDS),
            segments.c.number == row.number,
        )
        .order_by(tracks.c.number)
    )
    return str(row.session_id), _chunk(row.number, [segment_of(one) for one in c.execute(same)])


def _chunk(index: int, same: Sequence[Segment]) -> Chunk:
    first = min(same, key=lambda segment: RANK.index(segment.status))
    return Chunk(id=first.id, index=index, status=first.status, error=first.error_code, segments=tuple(same))


def _count(c: Connection, numbers: Select[tuple[int]]) -> int:
    return c.execute(select(func.count(func.distinct(numbers.subquery().c.number)))).scalar_one()
