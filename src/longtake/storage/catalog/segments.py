"""Segments: rows ⇄ model. The counters on the track move with every status, in the same transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, bindparam, func, insert, select, tuple_, update

from longtake.model.errors import NotFound
from longtake.model.lifecycle import SessionState
from longtake.model.session import LaneStatus, Segment, SegmentStatus, TrackKind, segment_status
from longtake.model.timeline import Place
from longtake.storage.catalog.paging import page_of, position
from longtake.storage.packs import SEGMENT
from longtake.storage.prepared import Lookup, Prepared
from longtake.storage.tables import segments, sessions, tracks

INSERT = Prepared(insert(segments))
COUNT = Prepared(
    update(tracks)
    .where(tracks.c.id == bindparam("track"))
    .values(
        n_pending=tracks.c.n_pending + bindparam("n"),
        size_bytes=tracks.c.size_bytes + bindparam("size"),
        heard_at_ms=bindparam("at_ms"),
        media_settled=False,
        speech_settled=False,
    )
)

ADDRESSES = Lookup(
    select(
        tracks.c.id,
        tracks.c.session_id,
        tracks.c.kind,
        sessions.c.state,
        sessions.c.trashed_at_ms,
        sessions.c.audio_deleted_at_ms,
    )
    .join(sessions, sessions.c.id == tracks.c.session_id)
    .where(tracks.c.id.in_(bindparam("tracks", expanding=True)), sessions.c.purged_at_ms.is_(None))
)

FIND_AT_ONCE = 32
WHICH = (
    segments.c.track_id.in_(bindparam("tracks", expanding=True)),
    segments.c.number.in_(bindparam("numbers", expanding=True)),
)
"""Every one of these tracks with every one of these numbers. SQLite scans the whole table for `IN` over pairs; this way
it seeks in the primary key, and so few at once that the superfluous pairs cost nothing."""
ANY = Lookup(select(segments.c.number).where(*WHICH))
FIND = select(segments).where(*WHICH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where segments of a track belong, and whether they may be stored there now."""

    track_id: str
    session_id: str
    kind: TrackKind
    state: SessionState
    is_trashed: bool
    audio_deleted_at_ms: int | None = None


def insert_segments(c: Connection, new: Sequence[Segment]) -> None:
    """Store new segments and count them; their blobs are there already. The lanes of their tracks have work then."""
    if not new:
        return
    INSERT.run(
        c,
        [
            {
                "track_id": s.track_id,
                "number": s.index,
                "id": s.id,
                "sha256": s.sha256,
                "size_bytes": s.size_bytes,
                "mime_type": s.mime_type,
                "start_ms": s.start_ms,
                "duration_ms": s.duration_ms,
                "stored_at_ms": s.stored_at_ms,
                "status": s.status,
                "media": s.media,
                "speech": s.speech,
                "attempts": s.attempts,
            }
            for s in new
        ],
    )
    sizes: dict[str, list[int]] = {}
    for s in new:
        sizes.setdefault(s.track_id, []).append(s.size_bytes)
    at_ms = max(s.stored_at_ms for s in new)
    COUNT.run(c, [{"track": track, "n": len(of), "size": sum(of), "at_ms": at_ms} for track, of in sizes.items()])


def find_addresses(c: Connection, track_ids: Iterable[str]) -> dict[str, Address]:
    """Those of some tracks that exist."""
    return {
        track_id: Address(
            track_id=track_id,
            session_id=session_id,
            kind=TrackKind(kind),
            state=SessionState(state),
            is_trashed=trashed_at_ms is not None,
            audio_deleted_at_ms=audio_deleted_at_ms,
        )
        for track_id, session_id, kind, state, trashed_at_ms, audio_deleted_at_ms in ADDRESSES.rows(
            c, tracks=list(track_ids)
        )
    }


def update_segment(c: Connection, segment: Segment, **columns: object) -> None:
    """Set columns of a segment; its status follows from the lanes, the track's counters follow from its status."""
    media = LaneStatus(str(columns.get("media", segment.media)))
    speech = LaneStatus(str(columns.get("speech", segment.speech)))
    row = select(segments.c.status).where(segments.c.track_id == segment.track_id, segments.c.number == segment.index)
    before = SegmentStatus(c.execute(row).scalar_one())
    after = segment_status(media, speech)
    c.execute(
        update(segments)
        .where(segments.c.track_id == segment.track_id, segments.c.number == segment.index)
        .values(status=after, **columns)
    )
    if before is not after:
        less, more = tracks.c[f"n_{before.value}"], tracks.c[f"n_{after.value}"]
        c.execute(update(tracks).where(tracks.c.id == segment.track_id).values({less: less - 1, more: more + 1}))


def count_kill(c: Connection, track_id: str, index: int) -> int:
    """One more child process died of a segment; returns how many it were now."""
    where = (segments.c.track_id == track_id, segments.c.number == index)
    c.execute(update(segments).where(*where).values(kills=segments.c.kills + 1))
    return int(c.execute(select(segments.c.kills).where(*where)).scalar_one())


def segments_with(c: Connection, session_id: str, sha256: str) -> list[Segment]:
    """The segments of a session that have these bytes."""
    of_session = segments.c.track_id.in_(select(tracks.c.id).where(tracks.c.session_id == session_id))
    return [segment_of(row) for row in c.execute(select(segments).where(of_session, segments.c.sha256 == sha256))]


def get_segment(c: Connection, track_id: str, index: int) -> Segment:
    """One segment; raises NotFound."""
    row = c.execute(select(segments).where(segments.c.track_id == track_id, segments.c.number == index)).one_or_none()
    if row is None:
        raise NotFound("segment", f"{track_id}/{index}")
    return segment_of(row)


def find_segments(c: Connection, keys: Iterable[tuple[str, int]]) -> dict[tuple[str, int], Segment]:
    """Those of some (track, index) that are stored."""
    wanted = set(keys)
    found: dict[tuple[str, int], Segment] = {}
    remaining = sorted(wanted)
    while remaining:
        part, remaining = remaining[:FIND_AT_ONCE], remaining[FIND_AT_ONCE:]
        which: dict[str, list[object]] = {"tracks": [*{track for track, _ in part}], "numbers": [*{n for _, n in part}]}
        if ANY.rows(c, **which):  # mostly there are none
            found |= {(row.track_id, row.number): segment_of(row) for row in c.execute(FIND, which)}
    return {key: segment for key, segment in found.items() if key in wanted}


def segments_of(c: Connection, track_id: str) -> list[Segment]:
    """All segments of a track, in order."""
    query = select(segments).where(segments.c.track_id == track_id)
    return [segment_of(row) for row in c.execute(query.order_by(segments.c.number))]


def first_pending(c: Connection, track_id: str, lane: str) -> int | None:
    """The lowest index that waits in a lane ("media" or "speech")."""
    query = select(func.min(segments.c.number)).where(segments.c.track_id == track_id, segments.c[lane] == "pending")
    return c.execute(query).scalar()


def pending_segments(c: Connection, track_id: str) -> list[Segment]:
    """The segments of a track that are not decoded yet, in order."""
    query = select(segments).where(segments.c.track_id == track_id, segments.c.media == "pending")
    return [segment_of(row) for row in c.execute(query.order_by(segments.c.number))]


def waiting_for_speech(
    c: Connection, track_id: str, *, until: int | None = None, limit: int | None = None
) -> list[Segment]:
    """The decoded segments of a track whose speech is not known yet, in order; those below an index."""
    query = select(segments).where(
        segments.c.track_id == track_id, segments.c.speech == "pending", segments.c.media != "pending"
    )
    if until is not None:
        query = query.where(segments.c.number < until)
    return [segment_of(row) for row in c.execute(query.order_by(segments.c.number).limit(limit))]


def is_stored(c: Connection, track_id: str, index: int) -> bool:
    """Whether a track has a segment of that index."""
    query = select(segments.c.number).where(segments.c.track_id == track_id, segments.c.number == index)
    return c.execute(query).first() is not None


def move_segment(c: Connection, track_id: str, index: int, place: Place) -> None:
    """Put a decoded segment elsewhere on its timeline."""
    c.execute(
        update(segments)
        .where(segments.c.track_id == track_id, segments.c.number == index)
        .values(take_start_ns=place.take_start_ns, take_offset=place.take_offset, rate_hz=place.rate_hz)
    )


def list_segments(
    c: Connection, session_id: str, *, limit: int, cursor: str | None
) -> tuple[list[Segment], str | None]:
    """A page of a session's segments, by track and index, and where the next page begins."""
    query = (
        select(segments, tracks.c.number.label("track_number"))
        .join(tracks, tracks.c.id == segments.c.track_id)
        .where(tracks.c.session_id == session_id)
    )
    if (after := position(cursor, int, int)) is not None:
        query = query.where(tuple_(tracks.c.number, segments.c.number) > after)
    rows = c.execute(query.order_by(tracks.c.number, segments.c.number).limit(limit + 1)).all()
    page, following = page_of(rows, limit, lambda row: (row.track_number, row.number))
    return [segment_of(row) for row in page], following


def failed_segments(c: Connection, session_id: str) -> list[Segment]:
    """All failed segments of a session."""
    query = (
        select(segments)
        .join(tracks, tracks.c.id == segments.c.track_id)
        .where(tracks.c.session_id == session_id, segments.c.status == "failed")
    )
    return [segment_of(row) for row in c.execute(query.order_by(tracks.c.number, segments.c.number))]


def head_of(segment: Segment, session_id: str) -> dict[str, object]:
    """What the packs say of a segment: enough to make its row anew."""
    return {
        "kind": SEGMENT,
        "id": segment.id,
        "session": session_id,
        "track": segment.track_id,
        "index": segment.index,
        "start_ms": segment.start_ms,
        "duration_ms": segment.duration_ms,
        "type": segment.mime_type,
        "sha256": segment.sha256,
        "size": segment.size_bytes,
        "stored_at_ms": segment.stored_at_ms,
    }


def segments_of_bytes(c: Connection, digests: Sequence[str], limit: int | None = None) -> list[tuple[Segment, str]]:
    """Segments of certain bytes, and their sessions. This reads the whole table: it has no index for it."""
    query = (
        select(segments, tracks.c.session_id)
        .join(tracks, tracks.c.id == segments.c.track_id)
        .join(sessions, sessions.c.id == tracks.c.session_id)
        .where(segments.c.sha256.in_(digests), sessions.c.purged_at_ms.is_(None))
        .limit(limit)
    )
    return [(segment_of(row), row.session_id) for row in c.execute(query)]


def segment_of(row: Row[tuple[object, ...]]) -> Segment:
    """A row of segments as the model has it."""
    place = None
    if row.take_start_ns is not None:
        place = Place(take_start_ns=row.take_start_ns, take_offset=row.take_offset, rate_hz=row.rate_hz)
    return Segment(
        id=row.id,
        track_id=row.track_id,
        index=row.number,
        sha256=row.sha256,
        size_bytes=row.size_bytes,
        stored_at_ms=row.stored_at_ms,
        status=SegmentStatus(row.status),
        media=LaneStatus(row.media),
        speech=LaneStatus(row.speech),
        start_ms=row.start_ms,
        duration_ms=row.duration_ms,
        mime_type=row.mime_type,
        attempts=row.attempts,
        kills=row.kills,
        error_code=row.error_code,
        error_detail=row.error_detail,
        place=place,
        samples=row.samples,
        channels=row.channels,
        noise_dbfs=row.noise_dbfs,
        is_silent=row.is_silent,
        speaker_confidence=row.speaker_confidence,
    )
