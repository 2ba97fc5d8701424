"""Migrating makes the tables that are declared, and those hold what the model knows."""

import re
import time

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, create_engine, inspect

from longtake.model.lifecycle import JobState, SessionState, TrackHealth, TrackState
from longtake.model.session import LaneStatus, Mode, Priority, SegmentStatus, TrackKind
from longtake.storage import lookups, tables_folder
from longtake.storage.database import Database, alembic_config
from longtake.storage.tables import metadata
from longtake.storage.triggers import INDEX

WORDS = {
    ("sessions", "state"): SessionState,
    ("sessions", "mode"): Mode,
    ("tracks", "kind"): TrackKind,
    ("tracks", "state"): TrackState,
    ("tracks", "health"): TrackHealth,
    ("segments", "status"): SegmentStatus,
    ("segments", "media"): LaneStatus,
    ("segments", "speech"): LaneStatus,
    ("jobs", "status"): JobState,
    ("jobs", "priority"): Priority,
}


@pytest.fixture
def migrated(tmp_path):
    db = Database(tmp_path / "longtake.db")
    db.migrate()
    yield db
    db.close()


@pytest.fixture
def created(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'created.db'}")
    metadata.create_all(engine)
    with engine.connect() as connection:
        lookups.ensure(connection)
        yield connection
    engine.dispose()


def is_declared(name, kind, _parent):
    """Whether something is no part of the full-text index, which SQLite makes."""
    return kind != "table" or not name.startswith(INDEX)


def schema(connection):
    """Name → statement of every table and index that longtake has."""
    rows = connection.exec_driver_sql(
        "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'alembic%' AND sql <> ''"
    )
    return dict(rows.all())


def checks_of(db, table):
    with db.read() as c:
        return {(check["name"], check["sqltext"]) for check in inspect(c).get_check_constraints(table)}


def test_the_declared_tables_need_no_further_migration(migrated):
    with migrated.read() as c:
        context = MigrationContext.configure(c, opts={"include_name": is_declared})
        assert {tables_folder.watermark.name, tables_folder.requests.name} <= metadata.tables.keys()
        assert compare_metadata(context, metadata) == []


def test_migrating_equals_creating(migrated, created):
    with migrated.read() as c:
        assert set(schema(c)) == set(schema(created))
    for name, table in metadata.tables.items():
        declared = {(c.name, str(c.sqltext)) for c in table.constraints if isinstance(c, CheckConstraint)}
        assert checks_of(migrated, name) == declared


@pytest.mark.parametrize(("table", "column"), WORDS)
def test_a_column_takes_the_words_of_its_enum_and_no_other(migrated, table, column):
    (check,) = [sql for name, sql in checks_of(migrated, table) if name == f"ck_{table}_{column}"]
    assert set(re.findall(r"'(\w+)'", check)) == {word.value for word in WORDS[table, column]}


def test_every_check_is_an_enum_of_the_model():
    checks = {
        (table.name, str(check.name).removeprefix(f"ck_{table.name}_"))
        for table in metadata.tables.values()
        for check in table.constraints
        if isinstance(check, CheckConstraint)
    }
    assert checks == set(WORDS)


def test_bytes_without_a_reference_have_their_grace_from_the_migration_on(tmp_path):
    db = Database(tmp_path / "longtake.db")
    with db._writer.connect() as connection:
        command.upgrade(alembic_config(connection), "0001")
        for name, count in (("kept", 2), ("orphan", 0)):
            values = (name, 1, count, "packs", "1.pack", 0)
            connection.exec_driver_sql(
                'INSERT INTO blobs (sha256, size_bytes, ref_count, store, "key", "offset") VALUES (?, ?, ?, ?, ?, ?)',
                values,
            )
        connection.commit()
    before_ms = time.time_ns() // 1_000_000
    db.migrate()
    with db.read() as c:
        rows = c.exec_driver_sql("SELECT sha256, orphaned_at_ms FROM blobs").all()
        found = {row.sha256: row.orphaned_at_ms for row in rows}
    db.close()
    assert found["kept"] is None
    assert before_ms <= found["orphan"] <= time.time_ns() // 1_000_000


def test_migrating_twice_changes_nothing(migrated):
    with migrated.read() as c:
        before = schema(c)
    migrated.migrate()
    with migrated.read() as c:
        assert schema(c) == before
