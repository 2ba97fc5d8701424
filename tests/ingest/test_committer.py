"""One thread, one flush, one transaction, many receipts; and no batch suffers for one of its segments."""

import asyncio
import hashlib
import threading
from concurrent.futures import Future
from dataclasses import replace
from typing import ClassVar

import pytest
from structlog.testing import capture_logs

from longtake.ingest.body import Arrived
from longtake.ingest.committer import Committer, Waiter
from longtake.ingest.protocol import Announcement
from longtake.model.errors import NotFound, SegmentConflict, StorageFailed
from longtake.model.lifecycle import SessionState
from longtake.model.session import Receipt
from tests.ingest.station import PATIENCE_S, Gate, Station, audit, sound, until
from tests.storage.disks import FailingDisk


def arrived(index, body, track_id="t"):
    """A small body that was checked."""
    return Arrived(
        announcement=Announcement(track_id=track_id, index=index),
        sha256=hashlib.sha256(body).hexdigest(),
        size_bytes=len(body),
        mime_type="audio/test",
        parts=[body],
        staged=None,
    )


@pytest.fixture
def make(tmp_path):
    """Opens a station and a committer of its own beside it."""
    opened = []

    def opener(in_transaction=lambda c, stored: None, after_commit=lambda stored: None, disk=None):
        station = Station(tmp_path / "data", disk=disk)
        station.add_track()
        committer = Committer(
            station.db,
            station.blobs,
            now_ms=lambda: 7,
            new_id=iter(map(str, range(10**6))).__next__,
            in_transaction=in_transaction,
            after_commit=after_commit,
        )
        opened.append((station, committer))
        return station, committer

    yield opener
    for station, committer in opened:
        committer.close()
        audit(station)
        station.close()


def put(committer, *bodies):
    futures: list[Future[Receipt]] = []
    for one in bodies:
        futures.append(Future())
        committer.put(Waiter(arrived=one, future=futures[-1], loop=None))
    return futures


def put_as_one_batch(committer, gate, *bodies):
    """Queue behind a body that is held in its transaction, then let all go."""
    first = put(committer, arrived(999, sound("first")))
    gate.wait_inside()
    futures = put(committer, *bodies)
    gate.open.set()
    first[0].result()
    return futures


def test_what_queues_while_a_batch_is_stored_becomes_one_batch(make):
    gate = Gate()
    disk = FailingDisk()
    _, committer = make(gate, disk=disk)
    for future in put_as_one_batch(committer, gate, *(arrived(n, sound(n)) for n in range(50))):
        assert future.result().is_new
    assert gate.batches == [[999], list(range(50))]
    assert disk.calls.count("flush") == 2


def test_doubles_and_conflicts_within_a_batch_are_told_apart(make):
    gate = Gate()
    station, committer = make(gate)
    a, same, other, elsewhere = put_as_one_batch(
        committer,
        gate,
        arrived(0, sound("a")),
        arrived(0, sound("a")),
        arrived(0, sound("b")),
        arrived(1, sound("a")),
    )
    assert (a.result().is_new, same.result().is_new, elsewhere.result().is_new) == (True, False, True)
    assert a.result().segment_id == same.result().segment_id != elsewhere.result().segment_id
    assert isinstance(other.exception(), SegmentConflict)
    assert station.stored(0) == station.stored(1) == sound("a")


def test_a_segment_without_a_track_does_not_stop_the_others_of_its_batch(make):
    gate = Gate()
    _, committer = make(gate)
    bad, good = put_as_one_batch(committer, gate, arrived(0, sound("a"), "nowhere"), arrived(1, sound("b")))
    assert isinstance(bad.exception(), NotFound)
    assert good.result().is_new


def test_an_error_that_one_segment_causes_is_its_own(make):
    gate = Gate()

    def choke(c, stored):
        gate(c, stored)
        if any(one.segment.index == 13 for one in stored):
            raise ZeroDivisionError

    station, committer = make(choke)
    futures = put_as_one_batch(committer, gate, *(arrived(n, sound(n)) for n in range(10, 16)))
    assert isinstance(futures[3].exception(), ZeroDivisionError)
    assert [future.result().is_new for future in futures if future is not futures[3]] == [True] * 5
    assert station.count() == 6
    (again,) = put(committer, arrived(14, sound(14)))
    assert again.result().is_new is False


def test_a_file_that_was_collected_after_a_rollback_is_not_named(make):
    gate = Gate()

    def choke(c, stored):
        gate(c, stored)
        if len(stored) > 1:
            raise ZeroDivisionError
        for path in (station.folder / "files").iterdir():  # in the write transaction, as the collector
            station.blobs.remove_withdrawn(station.blobs.withdraw_file(path.name))

    station, committer = make(choke)
    staged = station.blobs.stage()
    staged.write([sound("large", 5_000)])
    staged.flush()
    large = replace(arrived(1, sound("large", 5_000)), parts=[], staged=staged)
    small, of_large = put_as_one_batch(committer, gate, arrived(0, sound("a")), large)
    assert small.result().is_new
    assert isinstance(of_large.exception(), StorageFailed)
    assert station.count() == 2


def test_what_belongs_to_a_stored_segment_is_written_in_its_transaction(make):
    seen = []

    def look(c, stored):
        rows = c.exec_driver_sql("SELECT number FROM segments").scalars().all()
        seen.append((rows, [(one.session_id, one.state, one.segment.index) for one in stored]))

    _, committer = make(look)
    (receipt,) = put(committer, arrived(4, sound("a")))
    receipt.result()
    put(committer, arrived(4, sound("a")))[0].result()
    assert seen == [([4], [("s", SessionState.ACTIVE, 4)])]


def test_what_follows_is_told_after_the_commit_and_only_what_is_new(make):
    told = threading.Event()
    seen = []

    def after(stored):
        seen.append((station.count(), [one.segment.index for one in stored]))
        told.set()

    station, committer = make(after_commit=after)
    put(committer, arrived(4, sound("a")))[0].result()
    assert told.wait(PATIENCE_S)
    put(committer, arrived(4, sound("a")))[0].result()
    put(committer, arrived(5, sound("b")))[0].result()
    until(lambda: len(seen) == 2)
    assert seen == [(1, [4]), (2, [5])]


def test_an_error_in_what_follows_is_logged_and_the_receipts_stand(make):
    def after(stored):
        raise ZeroDivisionError

    _, committer = make(after_commit=after)
    with capture_logs() as logs:
        put(committer, arrived(0, sound("a")))[0].result()
        assert put(committer, arrived(1, sound("b")))[0].result().is_new
    assert (logs[0]["event"], logs[0]["segments"]) == ("stored_not_announced", 1)
    assert isinstance(logs[0]["exc_info"], ZeroDivisionError)


class Unforeseen:
    """A large body of which nothing works, not even to forget it."""

    size_bytes = 100

    def keep(self):
        raise ZeroDivisionError

    def discard(self):
        raise RuntimeError("nobody expects this")


def test_whatever_goes_wrong_nobody_waits_for_ever_and_the_next_are_stored(make):
    gate = Gate()
    station, committer = make(gate)
    bad = replace(arrived(0, sound("a")), parts=[], staged=Unforeseen())
    with capture_logs() as logs:
        beside, of_bad = put_as_one_batch(committer, gate, arrived(1, sound("b")), bad)
        assert isinstance(of_bad.exception(PATIENCE_S), RuntimeError)
        assert beside.result(PATIENCE_S).is_new
        assert put(committer, arrived(2, sound("c")))[0].result(PATIENCE_S).is_new
    assert [(one["event"], str(one["exc_info"])) for one in logs] == [("storing_failed", "nobody expects this")]
    assert committer.queued_bytes == 0
    assert station.count() == 3


def test_an_event_loop_is_woken_once_for_a_whole_batch(make):
    gate = Gate()
    _, committer = make(gate)

    class Loop(asyncio.SelectorEventLoop):
        wakes: ClassVar[list[str]] = []

        def call_soon_threadsafe(self, callback, *args, context=None):  # type: ignore[override]
            self.wakes.append(threading.current_thread().name)
            return super().call_soon_threadsafe(callback, *args, context=context)

    async def many():
        loop = asyncio.get_running_loop()
        held = put(committer, arrived(999, sound("first")))
        gate.wait_inside()
        futures = [loop.create_future() for _ in range(20)]
        for n, future in enumerate(futures):
            committer.put(Waiter(arrived=arrived(n, sound(n)), future=future, loop=loop))
        gate.open.set()
        held[0].result()
        await asyncio.gather(*futures)

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(many())
        assert Loop.wakes.count("committer") == 1


def test_a_loop_that_has_ended_does_not_disturb_the_others(make):
    gate = Gate()
    station, committer = make(gate)
    gone = asyncio.new_event_loop()
    held = put(committer, arrived(999, sound("first")))
    gate.wait_inside()
    committer.put(Waiter(arrived=arrived(0, sound("a")), future=gone.create_future(), loop=gone))
    gone.close()
    (other,) = put(committer, arrived(1, sound("b")))
    gate.open.set()
    assert held[0].result().is_new
    assert other.result().is_new
    assert station.stored(0) == sound("a")


def test_a_batch_is_bounded(make):
    gate = Gate()
    _, committer = make(gate)
    futures = put_as_one_batch(committer, gate, *(arrived(n, sound(n)) for n in range(600)))
    assert all(future.result().is_new for future in futures)
    assert [len(batch) for batch in gate.batches] == [1, 256, 256, 88]
