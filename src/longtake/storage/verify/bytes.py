"""Rows → bytes: whatever a row names is there and has its digest. Read in the order of the disk, a piece at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, select, tuple_, union

from longtake.storage.database import Database
from longtake.storage.packs import pieces
from longtake.storage.tables import artifacts, blobs, blocks, segments, tracks
from longtake.storage.verify.result import Damage, Verified, What

AT_ONCE = 500
"""Rows that are read at a time: no transaction is held open meanwhile, or the server's log would grow."""

Progress = Callable[[int, int], None]
"""Called with the bytes that were read and the bytes there are."""


def check_bytes(data: Path, db: Database, found: Verified, session_id: str | None, progress: Progress) -> None:
    """Read everything that rows name; what is damaged is reported for each row that names it."""
    with db.read() as c:
        wanted = select(func.coalesce(func.sum(blobs.c.size_bytes), 0))
        total = int(c.execute(_only(wanted, session_id)).scalar_one())
    for row in _rows(db, session_id):
        why = _why_damaged(data, row)
        found.blobs += 1
        found.read_bytes += row.size_bytes
        if why is not None:
            with db.read() as c:
                found.damaged += _damages(c, row, why)
        progress(found.read_bytes, total)


def _only(query: Select[Any], session_id: str | None) -> Select[Any]:
    """Blobs of a session; of all when there is none."""
    if session_id is None:
        return query
    own = union(
        select(segments.c.sha256)
        .join(tracks, tracks.c.id == segments.c.track_id)
        .where(tracks.c.session_id == session_id),
        select(blocks.c.sha256).where(blocks.c.session_id == session_id),
        select(artifacts.c.sha256).where(artifacts.c.session_id == session_id),
    )
    return query.where(blobs.c.sha256.in_(own))


def _rows(db: Database, session_id: str | None) -> Iterator[Row[tuple[object, ...]]]:
    place = (blobs.c.store, blobs.c.key, blobs.c.offset, blobs.c.sha256)
    last: tuple[object, ...] | None = None
    while True:
        query = _only(select(blobs), session_id).order_by(*place).limit(AT_ONCE)
        with db.read() as c:
            rows = c.execute(query if last is None else query.where(tuple_(*place) > last)).all()
        if not rows:
            return
        yield from rows
        last = (rows[-1].store, rows[-1].key, rows[-1].offset, rows[-1].sha256)


def _why_damaged(data: Path, row: Row[tuple[object, ...]]) -> str | None:
    digest, read = hashlib.sha256(), 0
    try:
        for part in pieces(data / row.store / row.key, row.offset, row.size_bytes):
            digest.update(part)
            read += len(part)
    except FileNotFoundError:
        return "its file is gone"
    except OSError as error:
        return f"its file cannot be read: {error.strerror}"
    if read < row.size_bytes:
        return f"its file ends {row.size_bytes - read} bytes too early"
    return None if digest.hexdigest() == row.sha256 else "its bytes are not those that were stored"


def _damages(c: Connection, row: Row[tuple[object, ...]], why: str) -> list[Damage]:
    """A damage for each row that names the bytes; none when they were moved or collected meanwhile."""
    same = and_(
        blobs.c.sha256 == row.sha256,
        blobs.c.store == row.store,
        blobs.c.key == row.key,
        blobs.c.offset == row.offset,
    )
    if c.execute(select(blobs.c.sha256).where(same)).first() is None:
        return []
    place = f"{row.store}/{row.key} at {row.offset}"
    damages = [
        Damage(
            what=What.SEGMENT,
            why=why,
            session_id=one.session_id,
            track_id=one.track_id,
            index=one.number,
            start_ms=one.start_ms,
            duration_ms=one.duration_ms,
            sha256=row.sha256,
            place=place,
        )
        for one in c.execute(
            select(segments, tracks.c.session_id)
            .join(tracks, tracks.c.id == segments.c.track_id)
            .where(segments.c.sha256 == row.sha256)
            .order_by(segments.c.track_id, segments.c.number)
        )
    ]
    damages += [
        Damage(
            what=What.BLOCK,
            why=why,
            session_id=one.session_id,
            track_id=None if one.owner_id == one.session_id else one.owner_id,
            index=one.number,
            sha256=row.sha256,
            place=place,
        )
        for one in c.execute(select(blocks).where(blocks.c.sha256 == row.sha256))
    ]
    damages += [
        Damage(
            what=What.ARTIFACT,
            why=f"{one.file_type}: {why}",
            session_id=one.session_id,
            sha256=row.sha256,
            place=place,
        )
        for one in c.execute(select(artifacts).where(artifacts.c.sha256 == row.sha256))
    ]
    return damages
