"""The database made again from the packs and files alone: what was acknowledged, and what people said about it.

Records are read in the order in which they were written (`records`); of two for the same thing the later counts. What
can be derived (blocks, transcript, outline) is not read but made anew by the lanes, as after any late segment
(`settling`). Belongs here: from folder to folder. Does not: writing records (`journal`, `ingest.committer`), who owns
the folder (`runtime`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from longtake.storage import watermark
from longtake.storage.database import Database
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
    """Make the database of a data folder anew; the old one is moved aside. Killed at any time, it is begun again.

    Raises:
        StorageFull, StorageFailed: The disk refused; the old database stays where it is.
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
    result.moved_to = _replace(data, new, now_ms(), disk)
    return result


def _replace(data: Path, new: Path, now_ms: int, disk: Disk) -> list[str]:
    """Put the new database in place of the old, which is kept under another name with its log."""
    moved = []
    stamp = f"{datetime.fromtimestamp(now_ms / 1000, tz=UTC):%Y%m%dT%H%M%S}"
    for name in ("longtake.db", "longtake.db-wal", "longtake.db-shm", "engine.db", "engine.db-wal", "engine.db-shm"):
        if (data / name).exists():
            base, _, log = name.partition("-")
            aside = data / (f"{base}.before-{stamp}" + (f"-{log}" if log else ""))
            (data / name).replace(aside)
            moved.append(aside.name)
    disk.rename(new, data / "longtake.db")
    disk.flush_folder(data)
    return moved
