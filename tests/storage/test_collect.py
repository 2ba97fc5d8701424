"""Collecting bytes that nothing refers to: what is shared, sent again, raced for, miscounted or damaged stays."""

import contextlib
import threading
import time

import pytest
import structlog

from longtake.model.errors import NotFound, StorageFailed
from tests.sessions.depot import HOUR_MS, Depot, Time, audit, leftovers
from tests.storage.disks import FailingDisk


def test_what_two_sessions_share_stays_for_the_other_through_purge_and_compaction(tmp_path):
    clock = Time()
    depot = Depot(tmp_path / "data", clock)
    first, second = depot.create(), depot.create()
    bodies = [b"SND" + bytes([n]) * 500 for n in range(20)]
    shared = bodies[3]
    for index, body in enumerate(bodies):
        depot.put(depot.add_track(first), index, body)
    track = depot.add_track(second)
    depot.put(track, 0, shared)
    depot.deletion.purge(first)
    depot.close()
    depot = Depot(tmp_path / "data", clock)
    assert depot.collector.collect(0).packs == 1
    (sha256,) = depot.segments().values()
    assert depot.read(sha256) == shared
    audit(depot)
    told = [head for head, _, _ in depot.records() if head.get("kind") == "segment"]
    assert [head["session"] for head in told if head.get("body") != "elsewhere"] == [second]
    depot.close()


def test_a_body_that_is_sent_again_while_its_bytes_are_orphans_is_kept(tmp_path):
    clock = Time()
    depot = Depot(tmp_path / "data", clock)
    body = b"SND" + b"x" * 5000
    first = depot.create()
    depot.put(depot.add_track(first), 0, body)
    depot.deletion.purge(first)
    clock.ahead_ms += 25 * HOUR_MS
    second = depot.create()
    track = depot.add_track(second)
    depot.put(track, 0, body)
    assert depot.collector.collect(0).deleted == 0
    assert depot.read(depot.segments()[track, 0]) == body
    audit(depot)
    depot.close()


def test_uploads_of_the_same_bodies_race_the_collection_and_win(tmp_path):
    depot = Depot(tmp_path / "data", Time())
    bodies = [b"SND" + bytes([n]) * size for n in range(6) for size in (100, 3000)]
    session_id = depot.create()
    track = depot.add_track(session_id)
    stop = threading.Event()

    def collect():
        while not stop.is_set():
            depot.collector.collect(0)

    thread = threading.Thread(target=collect)
    thread.start()
    try:
        number = 0
        until = time.monotonic() + 4
        while time.monotonic() < until:
            other = depot.create()
            for index, body in enumerate(bodies):
                depot.put(depot.add_track(other), index, body)
            depot.deletion.purge(other)
            depot.put(track, number, bodies[number % len(bodies)])
            number += 1
    finally:
        stop.set()
        thread.join()
    stored = depot.segments()
    assert len(stored) == number >= 3
    for (_, index), sha256 in stored.items():
        assert depot.read(sha256) == bodies[index % len(bodies)]
    audit(depot)
    depot.close()


@pytest.mark.parametrize("at", range(12))
def test_a_disk_that_fails_in_a_purge_or_a_collection_loses_nothing_and_is_caught_up_with(tmp_path, at):
    clock = Time()
    depot = Depot(tmp_path / "data", clock)
    ours, other = depot.create(), depot.create()
    for session_id in (ours, other):
        track = depot.add_track(session_id)
        for index in range(4):
            depot.put(track, index, f"SND{session_id}{index}".encode() * (10 if index else 100))
    before = depot.segments()
    depot.close()
    disk = FailingDisk()
    depot = Depot(tmp_path / "data", clock, disk)
    disk.at = len(disk.calls) + at
    for act in (lambda: depot.deletion.purge(ours), lambda: depot.collector.collect(0)):
        with contextlib.suppress(StorageFailed):
            act()
    audit(depot)
    disk.at = None
    with contextlib.suppress(NotFound):  # it had not begun
        depot.deletion.purge(ours)
    depot.deletion.purge_expired()
    depot.collector.collect(0)
    depot.close()
    depot = Depot(tmp_path / "data", clock)
    depot.collector.collect(0)
    audit(depot)
    assert not leftovers(depot.db, ours)
    assert depot.segments() == {key: sha for key, sha in before.items() if key in depot.segments()}
    assert len(depot.segments()) == 4
    depot.close()


def test_a_count_that_is_wrong_is_never_believed(tmp_path):
    depot = Depot(tmp_path / "data", Time())
    session_id = depot.create()
    track = depot.add_track(session_id)
    depot.put(track, 0, b"SND" + b"y" * 500)
    with depot.db.write() as c:
        c.exec_driver_sql("UPDATE blobs SET ref_count = 0, orphaned_at_ms = 1")
    with structlog.testing.capture_logs() as logs:
        assert depot.collector.collect(0).deleted == 0
    assert [line["event"] for line in logs] == ["reference_count_wrong"]
    assert depot.read(depot.segments()[track, 0]).startswith(b"SND")
    depot.close()


def test_a_pack_that_is_damaged_is_left_alone(tmp_path):
    clock = Time()
    depot = Depot(tmp_path / "data", clock)
    ours, other = depot.create(), depot.create()
    track = depot.add_track(other)
    depot.put(track, 0, b"SND" + b"z" * 200)
    for index in range(5):
        depot.put(depot.add_track(ours), index, b"SND" + bytes([index]) * 900)
    depot.deletion.purge(ours)
    depot.close()
    (pack,) = (tmp_path / "data" / "packs").glob("*.pack")
    data = bytearray(pack.read_bytes())
    at = data.find(b"LTR1", len(data) // 2)
    data[at] ^= 0xFF
    pack.write_bytes(data)
    depot = Depot(tmp_path / "data", clock)
    depot.collector.collect(0)
    assert pack.exists()
    assert depot.read(depot.segments()[track, 0]).startswith(b"SNDz")
    depot.close()


def test_what_people_said_of_sessions_that_there_are_is_not_written_anew_every_day(tmp_path):
    clock = Time()
    depot = Depot(tmp_path / "data", clock)
    for _ in range(20):
        depot.add_track(depot.create())
    depot.close()
    depot = Depot(tmp_path / "data", clock)
    found = depot.collector.collect(0)
    assert (found.packs, found.freed_bytes) == (0, 0)
    depot.close()


def test_what_a_collection_says_to_have_freed_the_disk_has_got_back(tmp_path):
    clock = Time()
    depot = Depot(tmp_path / "data", clock)
    for _ in range(12):
        depot.deletion.purge(depot.create())
    for _ in range(4):
        depot.add_track(depot.create())
    depot.close()

    def size_bytes():
        return sum(path.stat().st_size for path in (tmp_path / "data" / "packs").glob("*.pack"))

    before = size_bytes()
    depot = Depot(tmp_path / "data", clock)
    found = depot.collector.collect(0)
    depot.close()
    assert found.packs == 1
    assert found.freed_bytes == pytest.approx(before - size_bytes(), rel=0.1)


@pytest.mark.parametrize("which", ["heads", "bodies"])
def test_a_pack_that_cannot_be_read_keeps_no_other_from_being_collected(tmp_path, which):
    clock = Time()
    depot = Depot(tmp_path / "data", clock)
    kept, gone = depot.create(), depot.create()
    for index in range(5):
        depot.put(depot.add_track(gone), index, b"SND" + bytes([index]) * 2000)
    depot.put(depot.add_track(kept), 0, b"SND" + b"z" * 200)
    depot.make_block(gone, gone, 0, b"block" * 99)
    depot.deletion.purge(gone)
    depot.close()
    (pack,) = (tmp_path / "data" / "packs").glob("*.pack")
    depot = Depot(tmp_path / "data", clock)
    if which == "heads":
        pack.rename(pack.with_suffix(".away"))
        pack.mkdir()  # opened, it is an error
    else:
        with depot.db.write() as c:
            beyond = f"{pack.stat().st_size} - offset + 1"  # the last of them is not in the pack
            c.exec_driver_sql(f"UPDATE blobs SET size_bytes = {beyond} WHERE store = 'packs' AND ref_count > 0")
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            depot.collector.collect(0)
    assert [(line["event"], line["pack"]) for line in logs] == [("pack_unreadable", pack.name)]
    assert pack.exists()
    assert not list((tmp_path / "data" / "derived").glob("*.pack"))
    depot.close()
