"""Segments in, receipts out: once whatever is repeated, and nothing half-visible whatever is wrong."""

import asyncio
import hashlib
import threading
import tracemalloc

import pytest

from longtake.ingest.protocol import Announcement
from longtake.ingest.receiver import Limits
from longtake.model.errors import (
    DigestMismatch,
    Invalid,
    LongtakeError,
    NotFound,
    Overloaded,
    SegmentConflict,
    ShortBody,
    StorageFull,
    TooLarge,
    Trashed,
    Unavailable,
    Unsupported,
)
from longtake.model.session import Receipt, SegmentStatus
from longtake.storage.catalog import blobs as blob_rows
from longtake.storage.catalog import segments, sessions
from longtake.storage.packs import Record, scan
from tests.ingest.station import SMALL, Gate, Station, audit, sound, until

SIZES = [100, SMALL, SMALL + 1, 3_000_000]
"""A body that goes into a pack, the largest such, the smallest that becomes a file, and one written in pieces."""


@pytest.fixture
def station(tmp_path):
    opened = Station(tmp_path / "data")
    opened.add_track()
    yield opened
    audit(opened)
    opened.close()


async def pieces(body, size=70_000):
    for at in range(0, len(body), size):
        yield body[at : at + size]


def receive(station, body, index=0, **announced):
    announcement = Announcement(track_id="t", index=index, **announced)
    return asyncio.run(station.receiver.receive(announcement, pieces(body)))


def send_blocking(station, body, index=0, **announced):
    return station.put(index, body, piece=70_000, **announced)


@pytest.fixture(params=[receive, send_blocking], ids=["coroutine", "thread"])
def send(request, station):
    """Send a body by either way in."""
    return lambda body, index=0, **announced: request.param(station, body, index, **announced)


@pytest.mark.parametrize("size", SIZES)
def test_a_receipt_says_what_was_stored_and_the_bytes_are_there(station, send, size):
    body = sound("a", size)
    receipt = send(body, 3, start_ms=1500, duration_ms=500, size_bytes=size)
    assert (receipt.index, receipt.sha256, receipt.size_bytes) == (3, hashlib.sha256(body).hexdigest(), size)
    assert (receipt.is_new, receipt.status) == (True, SegmentStatus.PENDING)
    assert station.stored(3) == body


@pytest.mark.parametrize("size", SIZES)
def test_the_same_again_changes_nothing_and_says_so(station, send, size):
    body = sound("a", size)
    first = send(body)
    packs = [path.stat().st_size for path in (station.folder / "packs").iterdir()]
    again = send(body)
    assert again.is_new is False
    assert (again.segment_id, again.stored_at_ms) == (first.segment_id, first.stored_at_ms)
    assert [path.stat().st_size for path in (station.folder / "packs").iterdir()] == packs
    assert station.count() == 1


@pytest.mark.parametrize("size", SIZES)
def test_other_bytes_under_the_same_index_are_refused_and_the_first_are_kept(station, send, size):
    first, other = sound("a"), sound("b", size)
    send(first)
    with pytest.raises(SegmentConflict) as caught:
        send(other)
    assert caught.value.fields == {
        "index": 0,
        "stored": hashlib.sha256(first).hexdigest(),
        "received": hashlib.sha256(other).hexdigest(),
    }
    assert station.stored(0) == first


@pytest.mark.parametrize("size", SIZES)
def test_the_same_content_under_many_indices_is_stored_once(station, send, size):
    body = sound("a", size)
    for index in (5, 0, 3):
        assert send(body, index).is_new
    held = [*(station.folder / "packs").iterdir(), *(station.folder / "files").iterdir()]
    assert sum(path.read_bytes().count(body) for path in held) == 1
    with station.db.read() as c:
        locators = blob_rows.locate(c, [hashlib.sha256(body).hexdigest()])
    assert len(locators) == 1


def test_an_original_never_relies_on_bytes_that_can_be_made_again(station):
    body = sound("made of others")
    digest = hashlib.sha256(body).hexdigest()
    (locator,) = station.blobs.append("derived", [Record(head={}, body=[body])])
    with station.db.write() as c:
        blob_rows.insert_blobs(c, {digest: locator})
    station.put(0, body)
    with station.db.read() as c:
        assert blob_rows.get_locator(c, digest).store == "packs"
    assert station.stored(0) == body


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("announced", "error"),
    [
        ({"digest": "00" * 32}, DigestMismatch),
        ({"size_bytes": SIZES[-1] + 1}, ShortBody),
        ({"size_bytes": 50}, Invalid),
        ({"size_bytes": 5 << 30}, TooLarge),
    ],
)
def test_what_is_wrong_is_named_and_nothing_of_it_is_left(station, send, size, announced, error):
    with pytest.raises(error):
        send(sound("a", size), **announced)
    assert station.count() == 0
    assert send(sound("a", size)).is_new


@pytest.mark.parametrize("size", SIZES)
def test_what_is_no_media_is_refused_before_anything_is_stored(station, send, size):
    with pytest.raises(Unsupported):
        send(b"<html>" + bytes(size))
    assert not list((station.folder / "packs").iterdir())


def test_a_large_body_takes_no_more_memory_than_a_few_pieces(station, send):
    class Long:
        """Forty times as long as what may be held, without being held by the test."""

        def __len__(self):
            return 40 << 20

        def __getitem__(self, at):
            return sound(at.start, at.stop - at.start)

    tracemalloc.start()
    assert send(Long()).size_bytes >= 40 << 20
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_nothing_at_all_is_no_media(station, send):
    with pytest.raises(Unsupported):
        send(b"")


@pytest.mark.parametrize("size", [2_000, 2_000_000])
def test_a_body_without_a_length_is_cut_off_at_the_limit(station, size):
    pulled = []

    def endless():
        while True:
            pulled.append(1)
            yield sound("a", size // 4)

    announcement = Announcement(track_id="t", index=0)
    with pytest.raises(TooLarge):
        station.receiver.receive_blocking(announcement, endless(), limit_bytes=size)
    assert len(pulled) == 5


def test_an_unknown_track_is_refused_before_its_bytes_are_taken(station):
    body = iter([sound("a")])
    with pytest.raises(NotFound, match="track"):
        station.receiver.receive_blocking(Announcement(track_id="nowhere", index=0), body)
    assert list(body) == [sound("a")]


def test_a_session_in_the_trash_takes_nothing_even_where_the_track_is_known(station, send):
    send(sound("a"))
    with station.db.write() as c:
        sessions.update_session(c, "s", trashed_at_ms=5)
    with pytest.raises(Trashed):
        send(sound("b"), 1)
    assert station.count() == 1


def test_a_track_that_has_vanished_is_not_found_even_where_it_was_known(station, send):
    other = station.add_track("gone", "other")
    station.put(0, sound("a"), track_id=other)
    with station.db.write() as c:
        digest = segments.get_segment(c, other, 0).sha256
        sessions.delete_session(c, "other")
        blob_rows.release_references(c, {digest: 1}, 5)
    with pytest.raises(NotFound, match="track"):
        station.put(1, sound("b"), track_id=other)
    assert station.put(0, sound("a")).is_new
    assert station.stored(0) == sound("a")


def test_a_full_disk_is_said_before_the_bytes_are_taken(tmp_path):
    free = [10_000]
    station = Station(tmp_path / "data", limits=Limits(reserve_bytes=5_000), free_bytes=lambda: free[0])
    station.add_track()
    assert station.put(0, sound("a", 4_000), size_bytes=4_000).is_new
    with pytest.raises(StorageFull):
        station.put(1, sound("b", 6_000), size_bytes=6_000)
    free[0] = 4_999
    with pytest.raises(StorageFull):
        station.put(1, sound("b"))
    station.close()


def test_a_disk_that_fills_up_during_a_body_ends_it(tmp_path):
    free = iter([1 << 30, 1 << 30, 0])
    station = Station(
        tmp_path / "data", limits=Limits(reserve_bytes=1, small_bytes=SMALL), free_bytes=lambda: next(free)
    )
    station.add_track()
    with pytest.raises(StorageFull):
        station.put(0, sound("a", 3_000_000), piece=1_000_000)
    audit(station)
    station.close()


def test_when_more_waits_than_is_held_further_bodies_are_refused_and_come_later(tmp_path):
    gate = Gate()
    station = Station(tmp_path / "data", limits=Limits(queue_bytes=250, reserve_bytes=0), in_transaction=gate)
    station.add_track()
    threads = [threading.Thread(target=station.put, args=(n, sound(n))) for n in range(3)]
    for thread in threads:
        thread.start()
    gate.wait_inside()
    until(lambda: station.receiver.queued_bytes == 300)
    with pytest.raises(Overloaded):
        station.put(9, sound(9))
    gate.open.set()
    for thread in threads:
        thread.join()
    assert station.put(9, sound(9)).is_new
    assert station.count() == 4
    station.close()


def test_a_request_that_is_cut_off_leaves_nothing_staged(station):
    async def cut_off():
        async def hanging():
            yield sound("a", 600_000)
            yield sound("a", 600_000)
            await asyncio.Event().wait()

        task = asyncio.create_task(station.receiver.receive(Announcement(track_id="t", index=0), hanging()))
        await asyncio.to_thread(until, lambda: bool(station.staged))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cut_off())
    until(lambda: not station.staged)
    assert station.count() == 0


def test_a_sender_that_fails_midway_leaves_nothing_staged(station):
    def failing():
        yield sound("a", 1_200_000)
        raise ConnectionError("cut")

    with pytest.raises(ConnectionError):
        station.receiver.receive_blocking(Announcement(track_id="t", index=0), failing())


def test_a_segment_whose_sender_left_while_it_was_stored_is_stored_all_the_same(tmp_path):
    gate = Gate()
    station = Station(tmp_path / "data", in_transaction=gate)
    station.add_track()

    async def leave():
        task = asyncio.create_task(station.receiver.receive(Announcement(track_id="t", index=0), pieces(sound("a"))))
        await asyncio.to_thread(gate.wait_inside)
        task.cancel()
        gate.open.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    assert station.put(0, sound("a")).is_new is False
    station.close()


def test_sixteen_senders_race_for_the_same_indices_and_each_index_has_one_winner(station):
    receipts: dict[int, list[Receipt]] = {n: [] for n in range(20)}
    refused: dict[int, list[type]] = {n: [] for n in range(20)}

    def race(sender):
        for n in range(20):
            try:
                receipts[n].append(station.put(n, sound((n, sender % 2), 100 if n % 2 else 5_000)))
            except LongtakeError as error:
                refused[n].append(type(error))

    threads = [threading.Thread(target=race, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in range(20):
        assert [receipt.is_new for receipt in receipts[n]].count(True) == 1
        assert len({receipt.segment_id for receipt in receipts[n]}) == 1
        assert len(receipts[n]) == 8
        assert refused[n] == [SegmentConflict] * 8


def test_sixteen_coroutines_store_out_of_order(station):
    async def all_at_once():
        order = [(n * 7) % 64 for n in range(64)]
        sizes = [100 if n % 4 else 2_000 for n in order]
        return await asyncio.gather(
            *(
                station.receiver.receive(Announcement(track_id="t", index=n), pieces(sound(n, size)))
                for n, size in zip(order, sizes, strict=True)
            )
        )

    receipts = asyncio.run(all_at_once())
    assert all(receipt.is_new for receipt in receipts)
    assert [station.stored(n)[:100] for n in range(64)] == [sound(n) for n in range(64)]


def test_closing_stores_what_is_queued_and_refuses_what_comes_after(tmp_path):
    gate = Gate()
    station = Station(tmp_path / "data", in_transaction=gate)
    station.add_track()
    receipts = []
    threads = [threading.Thread(target=lambda n=n: receipts.append(station.put(n, sound(n)))) for n in range(8)]
    for thread in threads:
        thread.start()
    gate.wait_inside()
    until(lambda: station.receiver.queued_bytes == 800)
    closing = threading.Thread(target=station.receiver.close)
    closing.start()
    gate.open.set()
    for thread in [*threads, closing]:
        thread.join()
    assert len(receipts) == station.count() == 8
    with pytest.raises(Unavailable):
        station.put(9, sound(9))
    audit(station)
    station.close()


@pytest.mark.parametrize(("track", "size"), [("t", 100), ("t", 3_000_000), ("u", 100)])
def test_what_comes_after_the_end_is_put_off_whatever_it_is(tmp_path, track, size):
    station = Station(tmp_path / "data")
    for one in ("t", "u"):
        station.add_track(one)
    station.put(0, sound("a"))
    station.receiver.close()
    announcement = Announcement(track_id=track, index=1)
    with pytest.raises(Unavailable, match="shutting down"):
        asyncio.run(station.receiver.receive(announcement, pieces(sound("b", size))))
    assert not station.staged
    station.close()


def test_the_packs_name_every_segment_also_those_whose_bytes_are_elsewhere(station):
    station.put(0, sound("a"), start_ms=0, duration_ms=20)
    station.put(1, sound("a"), start_ms=20, duration_ms=20)
    station.put(2, sound("b", 5_000))
    (pack,) = (station.folder / "packs").iterdir()
    heads = [found.head for found in scan(pack)]
    assert [(head["kind"], head["session"], head["track"], head["index"]) for head in heads] == [
        ("segment", "s", "t", n) for n in range(3)
    ]
    assert [head.get("body") for head in heads] == [None, "elsewhere", "elsewhere"]
