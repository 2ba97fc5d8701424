"""How far the database is, told beside it, so that one which is lost or older than the recordings is noticed.

Each transaction that belongs to an append to the packs counts one up in the database; after its commit the count is
told to a file of the folder. That file is never flushed and may lag behind: a database is at least as far as it says,
or it is not the one that acknowledged what lies in the packs. Opened all the same, it would take every recording that
it does not know for garbage. Belongs here: noticing. Does not: mending (`rebuild`).
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from sqlalchemy import Connection

from longtake.model.errors import DatabaseOutdated
from longtake.storage.blobs import LocalBlobs, StoreName
from longtake.storage.database import Database
from longtake.storage.journal import Journal
from longtake.storage.prepared import run

NAME = "watermark"
ADVANCE = (
    "INSERT INTO watermark (id, commits, last_pack) VALUES (1, 1, ?) "
    "ON CONFLICT (id) DO UPDATE SET commits = commits + 1, last_pack = excluded.last_pack RETURNING commits"
)
ADOPT = "INSERT OR REPLACE INTO watermark (id, commits, last_pack) VALUES (1, ?, 0)"
HAS_COUNTS = "SELECT 1 FROM sqlite_master WHERE name = 'watermark'"
READ = "SELECT commits FROM watermark"
LAST_PACK = "SELECT last_pack FROM watermark"


class Watermark:
    """Counts the transactions that belong to appends, and keeps the highest number of a pack, also of a lost one."""

    def __init__(self, db: Database, blobs: LocalBlobs) -> None:
        with db.read() as c:
            blobs.begin_behind(c.exec_driver_sql(LAST_PACK).scalar() or 0)
        self._path = blobs.folder / NAME
        self._blobs = blobs
        self._counted = self._pending = (blobs.appends, blobs.last_pack)
        self._commits = 0

    def advance(self, c: Connection) -> None:
        """At the end of a transaction: count it, if anything was appended since the last one."""
        self._pending = (self._blobs.appends, self._blobs.last_pack)
        if self._pending != self._counted:
            self._commits = run(c, ADVANCE, (self._pending[1],)).fetchall()[0][0]

    def tell(self) -> None:
        """After its commit: write the count to the file. A disk that refuses is not minded: the file may lag."""
        if self._pending == self._counted:
            return
        with suppress(OSError):
            fd = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            try:
                os.pwrite(fd, b"%020d\n" % self._commits, 0)
            finally:
                os.close(fd)
            self._counted = self._pending


def attach(db: Database, blobs: LocalBlobs) -> None:
    """Have every transaction write what was noted to the packs, and how far it went beside them."""
    journal, watermark = Journal(blobs), Watermark(db, blobs)

    def before_commit(c: Connection) -> None:
        journal.write(c)
        watermark.advance(c)

    db.before_commit, db.after_commit = before_commit, watermark.tell


def told(data: Path) -> int:
    """What the file says; 0 when there is none, or a power cut has left nothing of it."""
    try:
        return int((data / NAME).read_bytes())
    except (OSError, ValueError):
        return 0


def adopt(c: Connection, data: Path) -> None:
    """Within a transaction: a database that was made of all that the packs hold is as far as they are."""
    c.exec_driver_sql(ADOPT, (told(data),))


def check_there(data: Path) -> None:
    """Return if a folder has its database, or nothing that one would know of.

    Raises:
        DatabaseOutdated: There are recordings and no database.
    """
    path = data / "longtake.db"
    if path.exists() and path.stat().st_size:
        return
    if told(data) or any((data / StoreName.PACKS).glob("*.pack")):
        raise DatabaseOutdated(f"{data} holds recordings, and their database is gone")


def check(db: Database, data: Path) -> None:
    """Return if a database can be the one that acknowledged what lies in its folder.

    Raises:
        DatabaseOutdated: It is of an earlier time.
    """
    least = told(data)
    with db.read() as c:
        commits = c.exec_driver_sql(READ).scalar() or 0
    if commits < least:
        raise DatabaseOutdated(f"the database in {data} is older than the recordings beside it")


def is_outdated(data: Path) -> bool:
    """The same of a folder that somebody may be at work on, without changing anything; False if it cannot be told."""
    least = told(data)  # before the database is asked: it goes on
    try:
        with closing(sqlite3.connect(f"file:{data / 'longtake.db'}?mode=ro", uri=True, timeout=10)) as connection:
            has_counts = connection.execute(HAS_COUNTS).fetchone() is not None
            row = connection.execute(READ).fetchone() if has_counts else None
    except sqlite3.Error:
        return False
    return (0 if row is None else int(row[0])) < least
