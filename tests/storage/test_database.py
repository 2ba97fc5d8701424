"""Transactions: whole or not at all; readers beside a writer; what the disk says under SQLite."""

import sqlite3
import threading

import pytest
from sqlalchemy import exc, insert, select

from longtake.model.errors import StorageFailed, StorageFull, Unavailable
from longtake.storage.database import Database, database_error
from longtake.storage.tables_folder import requests

ROW = {"key": "a", "fingerprint": "0", "status": 200, "body": b"", "at_ms": 1}


@pytest.fixture
def db(tmp_path):
    database = Database(tmp_path / "longtake.db")
    database.migrate()
    yield database
    database.close()


def keys(db):
    with db.read() as c:
        return set(c.execute(select(requests.c.key)).scalars())


def pragma(connection, name):
    return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


def test_an_error_undoes_the_whole_transaction(db):
    with pytest.raises(ZeroDivisionError), db.write() as c:
        c.execute(insert(requests).values(ROW))
        _ = 1 // 0
    assert keys(db) == set()
    with db.write() as c:
        c.execute(insert(requests).values(ROW))
    assert keys(db) == {"a"}


def test_what_was_committed_is_there_for_the_next_process(tmp_path, db):
    with db.write() as c:
        c.execute(insert(requests).values(ROW))
    other = Database(tmp_path / "longtake.db")
    assert keys(other) == {"a"}
    other.close()


def test_a_commit_waits_for_the_disk(db):
    for connect in (db.read, db.write):
        with connect() as c:
            assert pragma(c, "synchronous") == 2
            assert pragma(c, "journal_mode") == "wal"
            assert pragma(c, "foreign_keys") == 1


def test_a_reader_cannot_write(db):
    with pytest.raises(StorageFailed, match="readonly"), db.read() as c:
        c.execute(insert(requests).values(ROW))


def test_a_reader_sees_the_state_before_while_a_writer_is_at_work(db):
    with db.write() as c:
        c.execute(insert(requests).values(ROW))
        assert keys(db) == set()
    assert keys(db) == {"a"}


def test_a_readers_view_does_not_change_under_it(db):
    with db.read() as reader:
        before = reader.execute(select(requests.c.key)).all()
        with db.write() as c:
            c.execute(insert(requests).values(ROW))
        assert reader.execute(select(requests.c.key)).all() == before


def test_writers_take_turns(db):
    def add(worker):
        for n in range(10):
            with db.write() as c:
                seen = len(c.execute(select(requests.c.key)).all())
                c.execute(insert(requests).values(ROW | {"key": f"{worker}-{n}", "at_ms": seen}))

    workers = [threading.Thread(target=add, args=(n,)) for n in range(16)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    with db.read() as c:
        assert sorted(c.execute(select(requests.c.at_ms)).scalars()) == list(range(160))


def test_a_file_that_cannot_grow_is_a_full_disk_and_works_again_when_it_can(db):
    with db.write() as c:
        pages = pragma(c, "page_count")
    with db.write() as c:
        pragma(c, f"max_page_count={pages}")
    with pytest.raises(StorageFull), db.write() as c:
        c.execute(insert(requests), [ROW | {"key": str(n), "body": bytes(4096)} for n in range(9)])
    assert keys(db) == set()
    with db.write() as c:
        pragma(c, f"max_page_count={pages + 100}")
        c.execute(insert(requests).values(ROW))
    assert keys(db) == {"a"}


def test_a_file_that_is_no_database_is_said_to_be_the_disks_fault(tmp_path):
    (tmp_path / "longtake.db").write_bytes(b"no database at all" * 300)
    db = Database(tmp_path / "longtake.db")
    with pytest.raises(StorageFailed), db.read() as c:
        c.execute(select(requests))
    db.close()


def test_a_file_that_went_bad_is_said_to_be_the_disks_fault(tmp_path, db):
    with db.write() as c:
        c.execute(insert(requests), [ROW | {"key": str(n), "body": bytes(4096)} for n in range(50)])
    db.close()
    data = bytearray((tmp_path / "longtake.db").read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    (tmp_path / "longtake.db").write_bytes(data)
    with pytest.raises(StorageFailed), db.read() as c:
        c.execute(select(requests)).all()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (sqlite3.SQLITE_FULL, StorageFull),
        (sqlite3.SQLITE_IOERR_WRITE, StorageFailed),
        (sqlite3.SQLITE_IOERR_FSYNC, StorageFailed),
        (sqlite3.SQLITE_READONLY, StorageFailed),
        (sqlite3.SQLITE_CANTOPEN, StorageFailed),
        (sqlite3.SQLITE_BUSY, Unavailable),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, Unavailable),
        (sqlite3.SQLITE_LOCKED, Unavailable),
        (sqlite3.SQLITE_NOMEM, Unavailable),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, type(None)),
        (sqlite3.SQLITE_ERROR, type(None)),
    ],
)
def test_sqlites_codes_are_told_apart(code, error):
    said = sqlite3.OperationalError("said so")
    said.sqlite_errorcode = code
    assert type(database_error(exc.OperationalError("SELECT", {}, said))) is error


def test_an_error_of_the_program_stays_what_it_is(db):
    with pytest.raises(exc.IntegrityError), db.write() as c:
        c.execute(insert(requests), [ROW, ROW])
