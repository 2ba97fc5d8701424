"""A disk that fails at each of its calls in turn: the error is its own, nothing is half-visible, the next works."""

import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager

import pytest

from longtake.model.errors import LongtakeError, StorageFailed, StorageFull, Unavailable
from tests.conftest import ROOT
from tests.ingest.station import PATIENCE_S, Gate, Station, audit, sound, until
from tests.storage.disks import FailingDisk

CALLS = {
    "a small body, the first": (100, 0, ["create", "flush_folder", "write_all", "flush"]),
    "a small body, a later one": (100, 1, ["write_all", "flush"]),
    "a large body, the first": (
        5_000,
        0,
        ["create", "write_all", "flush", "rename", "flush_folder", "create", "flush_folder", "write_all", "flush"],
    ),
    "a large body, a later one": (
        5_000,
        1,
        ["create", "write_all", "flush", "rename", "flush_folder", "write_all", "flush"],
    ),
}
POINTS = [(what, at) for what, (_, _, calls) in CALLS.items() for at in range(len(calls))]


@pytest.fixture
def disk():
    return FailingDisk()


@pytest.fixture
def station(tmp_path, disk):
    opened = Station(tmp_path / "data", disk=disk)
    opened.add_track()
    yield opened
    audit(opened)
    opened.close()


@pytest.mark.parametrize("what", CALLS)
def test_a_body_takes_exactly_these_calls(station, disk, what):
    size, earlier, calls = CALLS[what]
    for n in range(earlier):
        station.put(n, sound(n, size))
    before = len(disk.calls)
    station.put(9, sound(9, size))
    assert disk.calls[before:] == calls


@pytest.mark.parametrize(("code", "error"), [(errno.EIO, StorageFailed), (errno.ENOSPC, StorageFull)])
@pytest.mark.parametrize(("what", "at"), POINTS)
def test_a_failure_is_its_own_error_and_the_same_request_works_again(station, disk, what, at, code, error):
    size, earlier, calls = CALLS[what]
    for n in range(earlier):
        station.put(n, sound(n, size))
    disk.at, disk.code = len(disk.calls) + at, code
    with pytest.raises(error):
        station.put(9, sound(9, size))
    assert disk.calls[-1] == calls[at], "went on after a failure, or tried again"
    assert station.count() == earlier
    audit(station)
    assert station.put(9, sound(9, size)).is_new
    assert station.stored(9) == sound(9, size)
    assert all(station.stored(n) == sound(n, size) for n in range(earlier))


def test_a_pack_is_not_used_again_after_a_failed_flush(station, disk):
    station.put(0, sound(0))
    disk.at = len(disk.calls) + 1
    with pytest.raises(StorageFailed):
        station.put(1, sound(1))
    station.put(2, sound(2))
    assert len(list((station.folder / "packs").iterdir())) == 2


def test_all_of_a_failed_batch_are_refused_and_none_is_stored(tmp_path):
    disk, gate = FailingDisk(), Gate()
    station = Station(tmp_path / "data", disk=disk, in_transaction=gate)
    station.add_track()
    outcomes: dict[int, object] = {}

    def put(n):
        try:
            outcomes[n] = station.put(n, sound(n)).is_new
        except LongtakeError as error:
            outcomes[n] = type(error)

    threads = [threading.Thread(target=put, args=(n,)) for n in range(9)]
    threads[0].start()
    gate.wait_inside()
    for thread in threads[1:]:
        thread.start()
    until(lambda: station.receiver.queued_bytes == 900)
    disk.at = len(disk.calls) + 1
    gate.open.set()
    for thread in threads:
        thread.join()
    assert outcomes == {0: True} | dict.fromkeys(range(1, 9), StorageFailed)
    assert station.count() == 1
    audit(station)
    station.close()


def test_a_failing_database_is_its_own_error_and_loses_nothing(station):
    station.put(0, sound(0))
    with station.db.write() as c:
        pages = c.exec_driver_sql("PRAGMA page_count").scalar()
        c.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    stored = 0
    with pytest.raises(StorageFull):
        for stored in range(1, 1_000):
            station.put(stored, sound(stored))
    assert station.count() == stored
    audit(station)
    with station.db.write() as c:
        c.exec_driver_sql("PRAGMA max_page_count=100000")
    assert station.put(stored, sound(stored)).is_new


def test_a_database_that_another_program_keeps_locked_is_waited_for_and_loses_nothing(station):
    station.put(0, sound(0))
    with station.db.write() as c:
        c.exec_driver_sql("PRAGMA busy_timeout=50").close()
    with closing(sqlite3.connect(station.folder / "longtake.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            station.put(1, sound(1))
    assert station.put(1, sound(1)).is_new


@contextmanager
def unwritable(folder):
    """A file stands where a folder was: whatever is asked of a name in it is an error, as on a disk that failed."""
    aside = folder.with_name("aside")
    folder.rename(aside)
    folder.touch()
    try:
        yield
    finally:
        folder.unlink()
        aside.rename(folder)


def test_a_body_that_can_neither_be_kept_nor_removed_harms_nobody_for_long(tmp_path):
    gate = Gate()
    station = Station(tmp_path / "data", in_transaction=gate)
    station.add_track()
    outcomes: dict[int, object] = {}

    def put(n, body):
        try:
            outcomes[n] = station.put(n, body).is_new
        except LongtakeError as error:
            outcomes[n] = type(error)

    threads = [
        threading.Thread(target=put, args=(n, sound(n, size)), daemon=True) for n, size in enumerate((100, 5_000, 100))
    ]
    threads[0].start()
    gate.wait_inside()
    for thread in threads[1:]:
        thread.start()
    until(lambda: len(station.staged) == 1 and station.receiver.queued_bytes == 200)
    until(lambda: station.receiver._committer._queue.qsize() == 2)
    with unwritable(station.folder / "incoming"):
        gate.open.set()
        for thread in threads:
            thread.join(PATIENCE_S)
    assert outcomes == {0: True, 1: StorageFailed, 2: StorageFailed}
    assert station.put(1, sound(1, 5_000)).is_new
    station.close()
    again = Station(tmp_path / "data")
    audit(again)  # the start has removed what was left
    again.close()


def test_a_failed_flush_is_told_also_when_the_file_cannot_be_removed(station, disk):
    staged = station.blobs.stage()
    staged.write([sound(0)])
    disk.at = len(disk.calls)
    with unwritable(station.folder / "incoming"), pytest.raises(StorageFailed):
        staged.flush()
    for left in station.staged:
        left.unlink()


def in_a_namespace():
    """The command that gives a program mounts of its own, where this machine allows it."""
    for command in (["unshare", "-m"], ["unshare", "-Urm"]):
        if shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True).returncode == 0:
            return command
    return None


@pytest.mark.skipif(in_a_namespace() is None, reason="needs a mount namespace: run as root, or allow user namespaces")
@pytest.mark.parametrize("size", [20_000, 90_000])
def test_a_really_full_disk_refuses_keeps_and_goes_on_when_there_is_room(tmp_path, size):
    script = 'mount -t tmpfs -o size=4m tmpfs "$1" && shift && exec "$@"'
    program = [sys.executable, "-m", "tests.ingest.program", "fill", str(tmp_path / "disk"), str(size)]
    (tmp_path / "disk").mkdir()
    run = subprocess.run(
        [*(in_a_namespace() or []), "sh", "-c", script, "sh", str(tmp_path / "disk"), *program],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["errors"] == ["storage_full"]
    assert told["before"] > 10
    assert told["after"] > told["before"]
