"""The database made again from the packs and files alone: what was acknowledged, and what people said about it.

Records are read in the order in which they were written (`records`); of two for the same thing the later counts. What
can be derived (blocks, transcript, outline) is not read but made anew by the lanes, as after any late segment
(`settling`). Belongs here: from folder to folder. Does not: writing records (`journal`, `ingest.committer`), who owns
the folder (`runtime`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from longtake.model.errors import Conflict, StorageFailed
from longtake.storage import watermark
from longtake.storage.database import Database, database_error
from longtake.storage.disk import Disk
from longtake.storage.rebuild.records import Progress, Records
from longtake.storage.rebuild.result import Rebuilt
from longtake.storage.rebuild.settling import settle

NEW_NAME = "rebuilding.db"


def rebuild(
    data: Path,
    *,
    disk: Disk,
    now_ms: Callable[[], int],
    new_id: Callable[[], str],
    progress: Progress = lambda _done, _all: None,
) -> Rebuilt:
    """Make the database of a data folder anew; the old one is kept under another name.

    Killed at any time, it is begun again: a database is in place, the old one or the new one, or none if SQLite could
    not read the old one.

    Raises:
        StorageFull, StorageFailed: The disk refused; the old database stays where it is. Conflict: Another program
        reads the old database or the new one.
    """
    new = data / NEW_NAME
    for suffix in ("", "-wal", "-shm"):
        (data / f"{NEW_NAME}{suffix}").unlink(missing_ok=True)
    db = Database(new)
    try:
        db.migrate()
        with db.write() as c:
            c.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
            result = Rebuilt()
            records = Records(data, c, result, progress)
            records.read()
            settle(records, now_ms(), new_id)
            watermark.adopt(c, data)
    finally:
        db.close()
    _fold(new)
    result.moved_to = _replace(data, new, now_ms(), disk)
    return result


def _fold(path: Path) -> None:
    """Have a database's file hold everything and its log nothing; closing does so, too, but says nothing of a failure.

    Raises:
        StorageFull, StorageFailed: The disk refused, or it is no database. Conflict: Another program reads it.
    """
    try:
        with closing(sqlite3.connect(path)) as connection:
            is_busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.DatabaseError as error:
        raise database_error(DBAPIError(None, None, error)) or StorageFailed(f"{path}: {error}") from error
    if is_busy:
        raise Conflict(f"another program reads {path}: end it and try again")


def _replace(data: Path, new: Path, now_ms: int, disk: Disk) -> list[str]:
    """Put the new database in place of the old, which is kept under another name.

    A log is told by its name alone: left there, the old one's would be taken for the new one's. So what it holds goes
    into the old database before it goes. One that SQLite cannot read goes before its log: without it, it would be
    another. There is a whole database in place at every moment, or (then) none, which is noticed.
    """
    moved = []
    stamp = f"{datetime.fromtimestamp(now_ms / 1000, tz=UTC):%Y%m%dT%H%M%S}.{now_ms % 1000:03d}"

    def aside(name: str, put: Callable[[Path, Path], None]) -> None:
        if (data / name).exists():
            base, _, log = name.partition("-")
            target = data / (f"{base}.before-{stamp}" + (f"-{log}" if log else ""))
            put(data / name, target)
            moved.append(target.name)

    for name in ("engine.db", "engine.db-wal", "engine.db-shm"):  # of which any part may be lost
        aside(name, disk.rename)
    for name in ("longtake.db-wal", "longtake.db"):
        aside(name, disk.link)
    disk.flush_folder(data)
    current = data / "longtake.db"
    if current.exists():
        try:
            _fold(current)
        except StorageFailed:
            disk.remove(current)
    for name in ("longtake.db-wal", "longtake.db-shm"):
        disk.remove(data / name)
    disk.flush_folder(data)  # or a power cut could bring the log back beside the new one
    disk.rename(new, current)
    disk.flush_folder(data)
    return moved
