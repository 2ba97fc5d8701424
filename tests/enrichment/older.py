"""A data folder as the first version left it: migrated to 0001 and no further, filled with the rows that it knew."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from longtake.model.lifecycle import JobState
from longtake.runtime import Runtime
from longtake.storage import watermark
from longtake.storage.catalog import jobs
from longtake.storage.database import alembic_config
from tests.enrichment.recording import Recording, cut, running, tone

FIRST = "0001"


def recorded(data: Path) -> dict[str, Recording]:
    """Sessions as today's code stores them: their jobs wait, run, are done; one is still recorded."""
    with running(data) as runtime:
        finished = ended(runtime)
        finished.finish()
    with running(data, with_engine=False) as runtime:
        waiting, cut_off, active = ended(runtime), ended(runtime), Recording.begin(runtime)
        active.send_all(cut(tone(1.0, hz=700), 0.5))
        with runtime.store.db.write() as c:
            job = cut_off.job()
            jobs.move_job(c, job.id, JobState.PENDING, JobState.PROCESSING, attempts=1, claims=1, started_at_ms=1)
            jobs.update_job(c, job.id, done=["validating"], stage="audio", substage="concatenating", progress=20)
    return {"finished": finished, "waiting": waiting, "cut off": cut_off, "active": active}


def ended(runtime: Runtime) -> Recording:
    """A session of two seconds that waits for its enrichment."""
    recording = Recording.begin(runtime)
    recording.send_all(cut(tone(2.0), 1.0))
    recording.end()
    return recording


def make_old(new: Path, old: Path) -> None:
    """The same folder as the first version would have left it."""
    shutil.copytree(new, old, ignore=shutil.ignore_patterns("*.db*", "lock", "owner.json", watermark.NAME))
    engine = create_engine(f"sqlite:///{old / 'longtake.db'}")
    with engine.connect() as connection:
        command.upgrade(alembic_config(connection), FIRST)
        connection.commit()
        assert MigrationContext.configure(connection).get_current_revision() == FIRST
    engine.dispose()
    with closing(sqlite3.connect(old / "longtake.db")) as connection:
        connection.execute("ATTACH ? AS today", (str(new / "longtake.db"),))
        tables = "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'alembic%'"
        for (table,) in connection.execute(tables).fetchall():
            columns = ", ".join(f'"{row[1]}"' for row in connection.execute(f"PRAGMA main.table_info({table})"))
            connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM today.{table}")
        connection.commit()
