"""Statements that run past SQLAlchemy find what it would find, and raise what it would raise."""

import pytest
from sqlalchemy import bindparam, insert, select
from sqlalchemy.exc import IntegrityError, OperationalError

from longtake.model.errors import StorageFailed
from longtake.storage.database import Database
from longtake.storage.prepared import Lookup, Prepared, run
from longtake.storage.tables import blobs

SIZES = Lookup(
    select(blobs.c.sha256, blobs.c.size_bytes).where(
        blobs.c.sha256.in_(bindparam("digests", expanding=True)),
        blobs.c.size_bytes.in_(bindparam("sizes", expanding=True)),
    )
)
INSERT = Prepared(insert(blobs))


@pytest.fixture
def db(tmp_path):
    db = Database(tmp_path / "longtake.db")
    db.migrate()
    with db.write() as c:
        INSERT.run(c, [row(n) for n in range(100)])
    yield db
    db.close()


def row(n):
    return {"sha256": f"{n:064}", "size_bytes": n, "ref_count": 0, "store": "packs", "key": "k", "offset": 0}


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 9, 64, 100, 130])
def test_lists_of_any_length_are_looked_up(db, count):
    digests, sizes = [f"{n:064}" for n in range(count)], list(range(7, 50))
    with db.read() as c:
        expected = [(f"{n:064}", n) for n in range(7, min(count, 50))]
        assert sorted(SIZES.rows(c, digests=digests, sizes=sizes)) == expected
        assert SIZES.rows(c, sizes=[], digests=digests) == []


def test_the_order_in_which_lists_are_named_does_not_matter(db):
    with db.read() as c:
        assert SIZES.rows(c, sizes=[3], digests=[f"{3:064}"]) == SIZES.rows(c, digests=[f"{3:064}"], sizes=[3])


def test_what_the_database_refuses_is_raised_as_by_sqlalchemy_and_undone(db):
    with pytest.raises(IntegrityError), db.write() as c:
        INSERT.run(c, [row(200), row(5)])
    with db.read() as c:
        assert SIZES.rows(c, digests=[f"{200:064}"], sizes=[200]) == []
        with pytest.raises(OperationalError, match="no such table") as error:
            run(c, "SELECT ? FROM no_table", ("what was said",))
    assert "what was said" not in str(error.value)


def test_a_disk_that_fails_under_it_is_told_as_such(db):
    with pytest.raises(StorageFailed), db.write() as c:
        run(c, "PRAGMA query_only=ON")
        INSERT.run(c, [row(300)])
