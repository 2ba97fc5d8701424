"""Rows → bytes: whatever a row names is there and has its digest. Read in the order of the disk, a piece at a time."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, select, union

from longtake.storage.database import Database
from longtake.storage.packs import pieces
from longtake.storage.tables import artifacts, blobs, blocks, segments, tracks
from longtake.storage.verify.result import Damage, Verified, What

AT_ONCE = 500
"""Rows that are copied at a time."""

Progress = Callable[[int, int], None]
"""Called with the bytes that were read and the bytes there are."""


class Place(NamedTuple):
    """Where the bytes of a digest lie."""

    store: str
    key: str
    offset: int
    sha256: str
    size_bytes: int


PLACE = (blobs.c.store, blobs.c.key, blobs.c.offset, blobs.c.sha256, blobs.c.size_bytes)


def check_bytes(data: Path, db: Database, found: Verified, session_id: str | None, progress: Progress) -> None:
    """Read everything that rows name; what is damaged is reported for each row that names it."""
    with closing(sqlite3.connect("")) as places:  # on the disk, and gone when it is closed
        total = _note_places(places, db, session_id)
        for row in places.execute("SELECT * FROM places ORDER BY store, key, offset, sha256"):
            found.damaged += _check(data, db, Place(*row))
            found.blobs += 1
            found.read_bytes += row[-1]
            progress(found.read_bytes, total)


def _check(data: Path, db: Database, place: Place) -> list[Damage]:
    """Read some bytes; where they lie now, when they were moved meanwhile."""
    now: Place | None = place
    while now is not None:
        place, why = now, _why_damaged(data, now)
        if why is None:
            break
        with db.read() as c:
            now = _place_of(c, place.sha256)
            if now == place:
                return _damages(c, place, why)
    return []


def _note_places(places: sqlite3.Connection, db: Database, session_id: str | None) -> int:
    """Copy the places of all bytes: in the order of the disk, each page of the table itself would sort the whole of it.

    Returns the bytes there are.
    """
    key = "PRIMARY KEY (store, key, offset, sha256)"
    places.execute(f"CREATE TABLE places (store, key, offset, sha256, size_bytes, {key}) WITHOUT ROWID")
    with db.read() as c:
        query = _only(select(*PLACE), session_id).execution_options(yield_per=AT_ONCE)
        for part in c.execute(query).partitions():
            places.executemany("INSERT INTO places VALUES (?, ?, ?, ?, ?)", [tuple(row) for row in part])
    places.commit()
    return int(places.execute("SELECT coalesce(sum(size_bytes), 0) FROM places").fetchone()[0])


def _place_of(c: Connection, sha256: str) -> Place | None:
    row = c.execute(select(*PLACE).where(blobs.c.sha256 == sha256)).one_or_none()
    return None if row is None else Place(*row)


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


def _why_damaged(data: Path, row: Place) -> str | None:
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


def _damages(c: Connection, row: Place, why: str) -> list[Damage]:
    """A damage for each row that names the bytes."""
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
