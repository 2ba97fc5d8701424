"""Disk → rows: the packs tell of every row that nothing else can bring back; what no row names is listed.

And rows → rows: counters and reference counts equal what they count.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, Table, and_, func, or_, select

from longtake.model.session import SegmentStatus
from longtake.storage.blobs import IN_PACKS, StoreName
from longtake.storage.database import Database
from longtake.storage.packs import AUDIO_DELETED, ELSEWHERE, PURGED, SEGMENT, Broken, digest_of, survey
from longtake.storage.tables import artifacts, blobs, blocks, segments, sessions, tracks
from longtake.storage.verify.result import Damage, Verified, What

AT_ONCE = 500
UNTOLD = "the packs do not tell of it: after a loss of the database it would not come back"
COPIED = (StoreName.PACKS, StoreName.FILES)
LIVING = (
    "SELECT track, number, session FROM stored WHERE NOT EXISTS "
    "(SELECT 1 FROM told WHERE id IN (? || ' ' || session, ? || ' ' || session)) ORDER BY track, number"
)
"""What was stored in sessions of which no tombstone tells, of either kind."""


def check_packs(data: Path, db: Database, found: Verified, began_ms: int) -> None:
    """Read the heads of all records; every segment, session and track of before `began_ms` must be told.

    Damages of segments get a `copy` where the same bytes lie whole elsewhere.
    """
    wanted = {one.sha256: one.place for one in found.damaged if one.what is What.SEGMENT}
    copies: dict[str, tuple[str, str, int]] = {}
    for sha256 in wanted:
        path = data / StoreName.FILES / str(sha256)
        with suppress(OSError):
            if digest_of(path, 0, path.stat().st_size) == sha256:
                copies[str(sha256)] = (StoreName.FILES, str(sha256), 0)
    with closing(sqlite3.connect("")) as told:  # on the disk, and gone when it is closed
        told.execute("CREATE TABLE told (id TEXT PRIMARY KEY) WITHOUT ROWID")
        told.execute("CREATE TABLE stored (track TEXT, number INTEGER, session TEXT, PRIMARY KEY (track, number))")
        for store in IN_PACKS:
            for pack in packs_of(data / store):
                # One that is gone was collected, its living records lie in a later one; of one that cannot be read,
                # what it should tell is untold, and the bytes in it have been reported.
                with suppress(OSError):
                    for one in survey(pack):
                        if isinstance(one, Broken):
                            if one.is_tail:
                                found.torn_tails.append(f"{store}/{pack.name}")
                            continue
                        found.records += 1
                        head = one.head
                        if store == StoreName.PACKS:
                            told.execute("INSERT OR IGNORE INTO told VALUES (?)", (_name(head),))
                            if head.get("kind") == SEGMENT and int(str(head["stored_at_ms"])) < began_ms:
                                address = (head["track"], head["index"], head["session"])
                                told.execute("INSERT OR IGNORE INTO stored VALUES (?, ?, ?)", address)
                        digest, place = head.get("sha256"), (store, pack.name, one.offset)
                        is_copy = digest in wanted and head.get("body") != ELSEWHERE and store in COPIED
                        if is_copy and digest_of(pack, one.offset, one.size_bytes) == digest:
                            copies[str(digest)] = place
        for damage in _untold(db, lambda name: _is_told(told, name), began_ms):
            found.damaged.append(damage)
        found.rowless = list(_rowless(db, told))
    found.damaged = [_with_copy(one, copies) for one in found.damaged]


def packs_of(folder: Path) -> Iterator[Path]:
    """The packs of a folder in order, those too that are begun meanwhile."""
    known: set[Path] = set()
    while new := set(folder.glob("*.pack")) - known:
        known |= new
        yield from sorted(new)


def _name(head: dict[str, object]) -> str:
    """Of what a record tells."""
    if head.get("kind") == SEGMENT:
        return f"segment {head['id']}"
    key = head.get("key")
    return f"{head.get('kind')} {key[0] if isinstance(key, list) and key else head.get('session')}"


def _is_told(told: sqlite3.Connection, name: str) -> bool:
    return told.execute("SELECT 1 FROM told WHERE id = ?", (name,)).fetchone() is not None


def _untold(db: Database, is_told: Callable[[str], bool], began_ms: int) -> Iterator[Damage]:
    for row in _pages(db, select(sessions.c.id, sessions.c.created_at_ms), sessions.c.id):
        if row["created_at_ms"] < began_ms and not is_told(f"session {row['id']}"):
            yield Damage(what=What.RECORD, why=f"the session itself: {UNTOLD}", session_id=str(row["id"]))
    for row in _pages(
        db, select(tracks.c.id, tracks.c.session_id, sessions.c.created_at_ms).join(sessions), tracks.c.id
    ):
        if row["created_at_ms"] < began_ms and not is_told(f"track {row['id']}"):
            session_id, track_id = str(row["session_id"]), str(row["id"])
            yield Damage(what=What.RECORD, why=f"the track: {UNTOLD}", session_id=session_id, track_id=track_id)
    columns = (segments.c.id, segments.c.track_id, segments.c.number, segments.c.start_ms, segments.c.stored_at_ms)
    query = select(*columns, segments.c.sha256, tracks.c.session_id).join(tracks, tracks.c.id == segments.c.track_id)
    for row in _pages(db, query, segments.c.id):
        if row["stored_at_ms"] < began_ms and not is_told(f"segment {row['id']}"):
            yield Damage(
                what=What.RECORD,
                why=UNTOLD,
                session_id=str(row["session_id"]),
                track_id=str(row["track_id"]),
                index=int(row["number"]),
                start_ms=row["start_ms"],
                sha256=str(row["sha256"]),
            )


def _rowless(db: Database, told: sqlite3.Connection) -> Iterator[str]:
    """What is stored at an address that no row has: but for a crash between bytes and row, the row was lost."""
    rows = told.execute(LIVING, (PURGED, AUDIO_DELETED))
    while part := rows.fetchmany(AT_ONCE):
        near = segments.c.number.between(min(n for _, n, _ in part), max(n for _, n, _ in part))
        which = segments.c.track_id.in_({track for track, _, _ in part}) & near
        with db.read() as c:
            there = {
                (row.track_id, row.number)
                for row in c.execute(select(segments.c.track_id, segments.c.number).where(which))
            }
        for track, number, session in part:
            if (track, number) not in there:
                yield f"session {session} track {track} segment {number}"


def _pages(db: Database, query: Select[Any], key: Column[str]) -> Iterator[dict[str, Any]]:
    last = ""
    while True:
        with db.read() as c:
            rows = c.execute(query.where(key > last).order_by(key).limit(AT_ONCE)).mappings().all()
        if not rows:
            return
        yield from (dict(row) for row in rows)
        last = str(rows[-1][key.name])


def _with_copy(damage: Damage, copies: dict[str, tuple[str, str, int]]) -> Damage:
    copy = copies.get(str(damage.sha256))
    if damage.what is not What.SEGMENT or copy is None or f"{copy[0]}/{copy[1]} at {copy[2]}" == damage.place:
        return damage
    return replace(damage, copy=copy)


def list_unreferenced(data: Path, db: Database, found: Verified) -> None:
    """Files and bytes in packs that no row names: left by a crash or a deletion, for the collector."""
    folder = data / StoreName.FILES
    names = iter(sorted(path.name for path in folder.iterdir())) if folder.exists() else iter(())
    while part := list(islice(names, AT_ONCE)):
        with db.read() as c:
            named = (blobs.c.store == StoreName.FILES, blobs.c.key.in_(part))
            known = set(c.execute(select(blobs.c.key).where(*named)).scalars())
        for name in part:
            if name not in known:
                with suppress(FileNotFoundError):  # collected meanwhile
                    found.unreferenced_bytes += (folder / name).stat().st_size
                    found.unreferenced_files.append(name)


def check_counters(db: Database, found: Verified, session_id: str | None) -> None:
    """Compare each counter with its rows, in one view of the database."""
    own = tracks.c.session_id == session_id if session_id is not None else tracks.c.id.is_not(None)
    of_track = segments.c.track_id == tracks.c.id
    counted: dict[str, ColumnElement[int]] = {
        f"n_{status.value}": select(func.count())
        .where(of_track, segments.c.status == status.value)
        .correlate(tracks)
        .scalar_subquery()
        for status in SegmentStatus
    }
    size = select(func.coalesce(func.sum(segments.c.size_bytes), 0)).where(of_track).correlate(tracks)
    counted["size_bytes"] = size.scalar_subquery()
    wrong = or_(*(tracks.c[name] != count for name, count in counted.items()))
    with db.read() as c:
        for row in c.execute(select(tracks.c.id, tracks.c.session_id).where(own, wrong)):
            found.damaged.append(
                Damage(
                    what=What.COUNTER,
                    why="the track's counters are not its segments",
                    session_id=row.session_id,
                    track_id=row.id,
                )
            )
        if session_id is None:
            for sha256, counted_as, n in c.execute(wrong_references()):
                why = f"{counted_as} references are counted where there are {n}"
                found.damaged.append(Damage(what=What.COUNTER, why=why, sha256=sha256))


def wrong_references() -> Select[Any]:
    """(sha256, ref_count, n) of the blobs that are not referred to by as many rows as they say."""

    def uses(table: Table) -> Select[tuple[str]]:
        return select(table.c.sha256)

    every = uses(segments).union_all(uses(blocks), uses(artifacts)).subquery()
    counted = select(every.c.sha256, func.count().label("n")).group_by(every.c.sha256).subquery()
    n = func.coalesce(counted.c.n, 0)
    query = select(blobs.c.sha256, blobs.c.ref_count, n.label("n"))
    return query.select_from(blobs.outerjoin(counted, counted.c.sha256 == blobs.c.sha256)).where(
        and_(blobs.c.ref_count != n)
    )
