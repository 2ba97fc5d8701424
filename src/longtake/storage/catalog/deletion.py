"""Taking sessions and recordings away: marks first, then rows in steps that keep nobody waiting.

Every step counts down what its rows referred to and the counters of their tracks, in its transaction: whenever the
process ends, counts are rows. Belongs here: which rows go. Does not: order, tombstones, rest between the steps
(`sessions.deletion`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple

from sqlalchemy import Column, Connection, Table, and_, delete, exists, func, or_, select, update

from longtake.model.session import Covered, SegmentStatus
from longtake.storage.catalog.blobs import release_references
from longtake.storage.catalog.derived import TEXTS
from longtake.storage.catalog.sessions import update_session
from longtake.storage.journal import note
from longtake.storage.tables import (
    artifacts,
    blocks,
    entries,
    recognitions,
    segments,
    sessions,
    tracks,
    utterances,
)
from longtake.storage.tables_folder import requests
from longtake.storage.tables_remarks import markers

AT_ONCE = 250
"""Rows that one step takes: some ten milliseconds in which nothing is stored."""
MANY: Sequence[tuple[Table, Column[str]]] = (
    (entries, entries.c.id),
    (recognitions, recognitions.c.key),
    (markers, markers.c.id),
)
"""What there may be very much of in a session, beside segments and blocks; all else goes with its row at once."""


def mark_purged(c: Connection, session_id: str, at_ms: int) -> None:
    """From now on nobody sees a session; its lanes have nothing to do."""
    update_session(
        c,
        session_id,
        purged_at_ms=at_ms,
        trashed_at_ms=func.coalesce(sessions.c.trashed_at_ms, at_ms),
        mix_settled=True,
    )
    _settle(c, session_id)


def mark_audio_deleted(c: Connection, session_id: str, at_ms: int) -> None:
    """From now on a session has no recordings and takes none; its lanes have nothing to do."""
    update_session(c, session_id, audio_deleted_at_ms=at_ms, mix_settled=True)
    _settle(c, session_id)


def purged_sessions(c: Connection) -> list[tuple[str, int]]:
    """Sessions whose rows are still to be removed, and since when."""
    query = select(sessions.c.id, sessions.c.purged_at_ms).where(sessions.c.purged_at_ms.is_not(None))
    return [(row.id, row.purged_at_ms) for row in c.execute(query)]


def half_deleted_sessions(c: Connection) -> list[tuple[str, int]]:
    """Sessions with a part of the recordings that have been deleted, and since when."""
    recorded = exists().where(tracks.c.session_id == sessions.c.id, tracks.c.id == segments.c.track_id)
    played = exists().where(blocks.c.session_id == sessions.c.id)
    kept = exists().where(artifacts.c.session_id == sessions.c.id, artifacts.c.file_type.not_in(TEXTS))
    query = select(sessions.c.id, sessions.c.audio_deleted_at_ms).where(
        sessions.c.audio_deleted_at_ms.is_not(None), sessions.c.purged_at_ms.is_(None), or_(recorded, played, kept)
    )
    return [(row.id, row.audio_deleted_at_ms) for row in c.execute(query)]


def expired_sessions(c: Connection, before_ms: int, limit: int) -> list[str]:
    """Sessions that have lain in the trash since before a moment, the oldest first."""
    query = select(sessions.c.id).where(sessions.c.trashed_at_ms <= before_ms, sessions.c.purged_at_ms.is_(None))
    return list(c.execute(query.order_by(sessions.c.trashed_at_ms).limit(limit)).scalars())


def note_entries(c: Connection, session_id: str, after: str) -> str | None:
    """Note some entries for the journal, by id: nothing can hear them again. Returns the last; None if none is left."""
    query = select(entries.c.id).where(entries.c.session_id == session_id, entries.c.id > after)
    found = c.execute(query.order_by(entries.c.id).limit(AT_ONCE)).scalars().all()
    for entry_id in found:
        note(c, "entry", session_id, entry_id)
    return found[-1] if found else None


def drop_segments(c: Connection, session_id: str, at_ms: int) -> int:
    """Remove some segments of a session; returns how many there were."""
    query = (
        select(segments.c.track_id, segments.c.number, segments.c.sha256, segments.c.size_bytes, segments.c.status)
        .join(tracks, tracks.c.id == segments.c.track_id)
        .where(tracks.c.session_id == session_id)
        .order_by(segments.c.track_id, segments.c.number)
        .limit(AT_ONCE)
    )
    found = c.execute(query).all()
    for track_id in dict.fromkeys(row.track_id for row in found):
        of_track = [row for row in found if row.track_id == track_id]
        first, last = of_track[0].number, of_track[-1].number
        c.execute(delete(segments).where(segments.c.track_id == track_id, segments.c.number.between(first, last)))
        counts = Counter(SegmentStatus(row.status).value for row in of_track)
        fewer = {tracks.c[f"n_{status}"]: tracks.c[f"n_{status}"] - count for status, count in counts.items()}
        fewer[tracks.c.size_bytes] = tracks.c.size_bytes - sum(row.size_bytes for row in of_track)
        c.execute(update(tracks).where(tracks.c.id == track_id).values(fewer))
    release_references(c, Counter(row.sha256 for row in found), at_ms)
    return len(found)


def drop_blocks(c: Connection, session_id: str, at_ms: int) -> int:
    """Remove some blocks of a session, of its tracks and of its mix; returns how many there were."""
    query = select(blocks.c.owner_id, blocks.c.number, blocks.c.sha256).where(blocks.c.session_id == session_id)
    found = c.execute(query.limit(AT_ONCE)).all()
    for owner_id in {row.owner_id for row in found}:
        numbers = [row.number for row in found if row.owner_id == owner_id]
        c.execute(delete(blocks).where(blocks.c.owner_id == owner_id, blocks.c.number.in_(numbers)))
    release_references(c, Counter(row.sha256 for row in found), at_ms)
    return len(found)


def drop_artifacts(c: Connection, session_id: str, at_ms: int, *, with_texts: bool) -> int:
    """Remove the kept files of a session, or those in which something is heard or seen; returns how many there were."""
    where = artifacts.c.session_id == session_id
    if not with_texts:
        where = and_(where, artifacts.c.file_type.not_in(TEXTS))
    found = c.execute(select(artifacts.c.sha256).where(where)).scalars().all()
    c.execute(delete(artifacts).where(where))
    release_references(c, Counter(found), at_ms)
    return len(found)


def drop_texts(c: Connection, session_id: str) -> int:
    """Remove some of what was said and heard in a session; returns how many rows there were."""
    for table, key in MANY:
        some = select(key).where(table.c.session_id == session_id).limit(AT_ONCE)
        gone = c.execute(delete(table).where(key.in_(some))).rowcount
        if gone:
            return gone
    for track_id in c.execute(select(tracks.c.id).where(tracks.c.session_id == session_id)).scalars().all():
        query = select(utterances.c.start).where(utterances.c.track_id == track_id).order_by(utterances.c.start)
        starts = c.execute(query.limit(AT_ONCE)).scalars().all()
        if starts:
            where = and_(utterances.c.track_id == track_id, utterances.c.start <= starts[-1])
            return c.execute(delete(utterances).where(where)).rowcount
    return 0


def drop_session(c: Connection, session_id: str) -> None:
    """Remove a session's row, all that goes with it, and the answers in which somebody was told of it."""
    c.execute(delete(requests).where(func.instr(requests.c.body, session_id.encode()) > 0))
    c.execute(delete(sessions).where(sessions.c.id == session_id))


def _settle(c: Connection, session_id: str) -> None:
    covered = list(astuple(Covered()))  # nothing: soon there is no segment any more
    columns = {"media_settled": True, "speech_settled": True, "speech_stale_from": None, "covered": covered}
    c.execute(update(tracks).where(tracks.c.session_id == session_id).values(**columns))
