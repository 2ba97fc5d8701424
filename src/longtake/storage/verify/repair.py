"""Repair of what can be derived: blocks and artifacts are made anew, counters counted, records told again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from sqlalchemy import Connection, delete, func, select, update

from longtake.model.lifecycle import SessionState
from longtake.model.session import SegmentStatus
from longtake.storage.blobs import LocalBlobs, Locator, StoreName
from longtake.storage.catalog import blobs as blob_rows
from longtake.storage.catalog import jobs
from longtake.storage.catalog.reopening import reopen_healed
from longtake.storage.catalog.segments import head_of, segment_of
from longtake.storage.database import Database
from longtake.storage.journal import KINDS, note
from longtake.storage.packs import ELSEWHERE, Record
from longtake.storage.tables import artifacts, blobs, blocks, segments, sessions, tracks
from longtake.storage.verify.ledger import wrong_references
from longtake.storage.verify.result import Damage, Verified, What


def repair(
    db: Database, stored: LocalBlobs, found: Verified, *, now_ms: Callable[[], int], new_id: Callable[[], str]
) -> None:
    """Repair what can be; each damage in a transaction of its own. The folder must be ours, with its journal kept."""
    for damage in found.damaged:
        if not damage.is_repairable:
            continue
        with db.write() as c:
            if damage.what in (What.BLOCK, What.ARTIFACT):
                _make_anew(c, damage, now_ms())
            elif damage.what is What.SEGMENT:
                _use_copy(c, damage)
                for session_id in _reopen(c, str(damage.sha256)):
                    jobs.enqueue(c, session_id, now_ms=now_ms(), new_id=new_id)
            elif damage.what is What.RECORD:
                _tell(c, stored, damage)
            else:
                _count(c, damage, now_ms())
        found.repaired += 1


def _use_copy(c: Connection, damage: Damage) -> None:
    """The same bytes lie whole elsewhere."""
    assert damage.copy is not None
    store, key, offset = damage.copy
    size_bytes = blob_rows.get_locator(c, str(damage.sha256)).size_bytes
    at = Locator(store=store, key=key, offset=offset, size_bytes=size_bytes)
    blob_rows.relocate_blobs(c, {str(damage.sha256): at})


def _reopen(c: Connection, sha256: str) -> set[str]:
    """Have what failed for want of these bytes processed; returns the sessions that had ended before."""
    return {session_id for _, session_id, state in reopen_healed(c, [sha256]) if state is SessionState.COMPLETED}


def _make_anew(c: Connection, damage: Damage, now_ms: int) -> None:
    """Forget damaged bytes that were made; the lanes, or who asks for the file, make them again.

    A segment may have the same bytes: of an MP3 that was made here and came back as a recording. It keeps them.
    """
    for row in c.execute(select(blocks.c.owner_id, blocks.c.session_id).where(blocks.c.sha256 == damage.sha256)):
        if row.owner_id != row.session_id:
            c.execute(update(tracks).where(tracks.c.id == row.owner_id).values(media_settled=False))
        c.execute(update(sessions).where(sessions.c.id == row.session_id).values(mix_settled=False))
    for table in (blocks, artifacts):
        c.execute(delete(table).where(table.c.sha256 == damage.sha256))
    if c.execute(select(segments.c.id).where(segments.c.sha256 == damage.sha256).limit(1)).first() is None:
        c.execute(delete(blobs).where(blobs.c.sha256 == damage.sha256))
    else:
        _count(c, damage, now_ms)


def _tell(c: Connection, stored: LocalBlobs, damage: Damage) -> None:
    """Have the packs tell of a row again: of a segment with its bytes, of a session with all that people said of it."""
    assert damage.session_id is not None
    if damage.index is not None:
        _tell_segment(c, stored, damage)
        return
    for kind in KINDS:
        table = KINDS[kind].table
        mine = table.c.id if kind == "session" else table.c.session_id
        for row in c.execute(select(*table.primary_key.columns).where(mine == damage.session_id)):
            note(c, kind, damage.session_id, *row)


def _tell_segment(c: Connection, stored: LocalBlobs, damage: Damage) -> None:
    assert damage.session_id is not None
    where = (segments.c.track_id == damage.track_id, segments.c.number == damage.index)
    row = c.execute(select(segments).where(*where)).one_or_none()
    if row is None:
        return
    at = blob_rows.get_locator(c, row.sha256)
    head = head_of(segment_of(row), damage.session_id)
    body = stored.read(at) if at.store == StoreName.PACKS else b""
    if hashlib.sha256(body).hexdigest() == row.sha256:
        (at,) = stored.append(StoreName.PACKS, [Record(head=head, body=[body])])
        blob_rows.relocate_blobs(c, {row.sha256: at})
    else:
        stored.append(StoreName.PACKS, [Record(head=head | {"body": ELSEWHERE})])


def _count(c: Connection, damage: Damage, now_ms: int) -> None:
    """Count anew; what turns out to belong to nothing is for the collector from now on."""
    if damage.sha256 is not None:
        for row in c.execute(wrong_references().where(blobs.c.sha256 == damage.sha256)).all():
            counted = {"ref_count": row.n, "orphaned_at_ms": None if row.n else now_ms}
            c.execute(update(blobs).where(blobs.c.sha256 == row.sha256).values(**counted))
        return
    of_track = segments.c.track_id == damage.track_id
    counts: dict[str, int] = {f"n_{status.value}": 0 for status in SegmentStatus}
    by_status = select(segments.c.status, func.count().label("n")).where(of_track).group_by(segments.c.status)
    counts |= {f"n_{row.status}": row.n for row in c.execute(by_status)}
    size = c.execute(select(func.coalesce(func.sum(segments.c.size_bytes), 0)).where(of_track)).scalar_one()
    c.execute(update(tracks).where(tracks.c.id == damage.track_id).values(size_bytes=int(size), **counts))
