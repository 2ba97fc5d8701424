"""The new database takes the old one's place: whole, and at every moment there is one of the two."""

import shutil
import sqlite3
from contextlib import closing

import pytest

from longtake.model.errors import Conflict, DatabaseOutdated
from longtake.runtime import new_id, now_ms
from longtake.sessions.manager import NewSession
from longtake.storage.disk import Disk
from longtake.storage.rebuild.run import rebuild
from tests.enrichment.recording import running
from tests.operations.test_rebuild import again


class Killed(BaseException):
    """The process is gone: nothing of it goes on."""


class KillingDisk(Disk):
    """Kills before one of the calls that change names: `at` counts them from 0."""

    def __init__(self, at):
        self.left = at

    def _step(self):
        if self.left == 0:
            raise Killed
        self.left -= 1

    def link(self, source, target):
        self._step()
        super().link(source, target)

    def rename(self, source, target):
        self._step()
        super().rename(source, target)

    def remove(self, path):
        self._step()
        super().remove(path)

    def flush_folder(self, folder):
        self._step()
        super().flush_folder(folder)


def titles(path):
    """Of a database, by SQLite alone."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {title for (title,) in connection.execute("SELECT title FROM sessions")}


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory):
    """A folder as kill -9 leaves it: what was committed is in the database's log. The packs know one session less."""
    data = tmp_path_factory.mktemp("cut") / "data"
    with running(data, with_engine=False) as runtime:
        runtime.sessions.create(NewSession(title="told"))
        runtime.store.db.before_commit = lambda c: None
        runtime.sessions.create(NewSession(title="untold"))
        shutil.copytree(data, data.with_name("left"))
    return data.with_name("left")


def test_killed_at_any_step_there_is_a_whole_database_with_no_log_but_its_own(cut_off, tmp_path):
    is_over, at = False, 0
    while not is_over:
        data, image = tmp_path / f"data{at}", tmp_path / f"image{at}"
        shutil.copytree(cut_off, data)
        (data / "engine.db").write_bytes(b"the engine's")
        assert (data / "longtake.db-wal").stat().st_size
        try:
            rebuild(data, disk=KillingDisk(at), now_ms=now_ms, new_id=new_id)
            is_over = True
        except Killed:
            at += 1
        assert (data / "longtake.db").stat().st_size
        shutil.copytree(data, image)
        found = titles(image / "longtake.db")
        assert found == ({"told"} if is_over else found & {"told", "untold"})
        aside = [titles(path) for path in image.glob("longtake.db.before-*") if "-wal" not in path.name]
        assert {"told", "untold"} in [found, *aside]
        again(data)
        assert titles(data / "longtake.db") == {"told"}
    assert at > 5, "the steps are not those that this test cuts"


def spoil(data):
    """Have SQLite not read a database: of its first page nothing is left, nor is it in the log."""
    with closing(sqlite3.connect(data / "longtake.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.execute("UPDATE watermark SET commits = commits + 1")
        connection.commit()
        log = (data / "longtake.db-wal").read_bytes()
    (data / "longtake.db-wal").write_bytes(log)
    with (data / "longtake.db").open("r+b") as file:
        file.write(bytes(4096))


def test_killed_at_any_step_one_that_cannot_be_read_is_never_without_its_log(cut_off, tmp_path):
    """Another program has it open: else SQLite folds the log in, also where it cannot read what is in it."""
    is_over, at, seen = False, 0, set()
    while not is_over:
        data = tmp_path / f"data{at}"
        shutil.copytree(cut_off, data)
        spoil(data)
        old, log = (data / "longtake.db").read_bytes(), (data / "longtake.db-wal").read_bytes()
        with closing(sqlite3.connect(data / "longtake.db")) as other:
            with pytest.raises(sqlite3.DatabaseError):
                other.execute("SELECT count(*) FROM sessions")
            try:
                rebuild(data, disk=KillingDisk(at), now_ms=now_ms, new_id=new_id)
                is_over = True
            except Killed:
                at += 1
            current, its_log = data / "longtake.db", data / "longtake.db-wal"
            state = "none" if not current.exists() else "old" if current.read_bytes() == old else "new"
            is_with_log = its_log.exists() and its_log.read_bytes() == log
            assert state != "old" or is_with_log, "it stands without its log"
            aside = [path for path in data.glob("longtake.db.before-*") if "-wal" not in path.name]
            kept = [(path.read_bytes(), path.with_name(f"{path.name}-wal").read_bytes()) for path in aside]
            assert state == "old" or kept == [(old, log)]
        if state == "none":
            with pytest.raises(DatabaseOutdated), running(data, with_engine=False):
                pass
        seen.add(state)
        again(data)
        assert titles(current) == {"told"}
    assert seen == {"old", "none", "new"}


def test_a_new_database_whose_log_cannot_be_folded_in_is_not_put_in_place(cut_off, tmp_path):
    """As on a disk that has room for the log and none for the copy: whoever closes it is not told."""
    data = tmp_path / "data"
    shutil.copytree(cut_off, data)
    readers: list[sqlite3.Connection] = []

    def look(done, total):
        if not readers:
            readers.append(sqlite3.connect(data / "rebuilding.db"))
            readers[0].execute("BEGIN")
            readers[0].execute("SELECT count(*) FROM sessions").fetchone()

    with pytest.raises(Conflict):
        again(data, progress=look)
    readers[0].close()
    assert titles(data / "longtake.db") == {"told", "untold"}
    again(data)
    assert titles(data / "longtake.db") == {"told"}
