"""Stored bytes that were removed, cut or spoilt: whoever sends them again heals them; no receipt is in vain."""

import os
import threading

import pytest

from longtake.model.errors import NotFound, StorageFailed
from longtake.storage.catalog import blobs as blob_rows
from tests.ingest.station import SMALL, Gate, Station, audit, sound, until
from tests.ingest.test_receiver import SIZES


def spoil(path, at):
    """One bit of a file is another."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


HARM = {
    "gone": lambda path, at: path.unlink(),
    "cut": lambda path, at: os.truncate(path, 40),
    "spoilt": lambda path, at: spoil(path, at + 7),
}


@pytest.mark.parametrize("index", [0, 1], ids=["the same segment", "another segment"])
@pytest.mark.parametrize("harm", ["gone", "cut", "spoilt"])
@pytest.mark.parametrize("size", SIZES)
def test_lost_bytes_come_back_with_whoever_sends_them_again(tmp_path, size, harm, index):
    station = Station(tmp_path / "data")
    station.add_track()
    receipt = station.put(0, sound("a", size))
    with station.db.read() as c:
        at = blob_rows.get_locator(c, receipt.sha256)
    place = station.blobs.path(at)
    station.close()
    HARM[harm](place, at.offset)
    again = Station(tmp_path / "data")
    with pytest.raises((NotFound, StorageFailed, AssertionError)):
        assert again.stored(0) == sound("a", size)
    assert again.put(index, sound("a", size)).is_new is (index == 1)
    assert again.stored(0) == again.stored(index) == sound("a", size)
    if index == 0 or size > SMALL or harm == "spoilt":  # else what told of segment 0 was lost with its pack
        audit(again)
    again.close()


@pytest.mark.parametrize("size", SIZES)
def test_whole_bytes_stay_where_they_are_whoever_sends_them_again(tmp_path, size):
    station = Station(tmp_path / "data")
    station.add_track()
    receipt = station.put(0, sound("a", size))
    with station.db.read() as c:
        at = blob_rows.get_locator(c, receipt.sha256)
    before = station.blobs.path(at).stat().st_ino
    appends = station.blobs.appends
    assert not station.put(0, sound("a", size)).is_new
    assert station.blobs.appends == appends
    assert station.put(1, sound("a", size)).is_new
    with station.db.read() as c:
        assert blob_rows.get_locator(c, receipt.sha256) == at
    assert station.blobs.path(at).stat().st_ino == before
    audit(station)
    station.close()


@pytest.mark.parametrize("left", [None, 40], ids=["gone", "cut"])
def test_a_pack_that_is_lost_while_it_is_appended_to_takes_nothing_more(tmp_path, left):
    station = Station(tmp_path / "data")
    station.add_track()
    station.put(0, sound("a"))
    (pack,) = (station.folder / "packs").iterdir()
    if left is None:
        pack.unlink()
    else:
        os.truncate(pack, left)
    assert station.put(1, sound("b")).is_new
    assert not station.put(0, sound("a")).is_new
    station.close()
    again = Station(tmp_path / "data")
    assert [again.stored(n) for n in (0, 1)] == [sound("a"), sound("b")]
    audit(again)
    again.close()


def test_lost_bytes_that_come_twice_in_one_batch_are_stored_once(tmp_path):
    gate = Gate()
    station = Station(tmp_path / "data", in_transaction=gate)
    station.add_track()
    gate.open.set()
    for index in (0, 1):
        station.put(index, sound("a", 5_000))
    (file,) = (station.folder / "files").iterdir()
    file.unlink()
    gate.open.clear()
    gate.inside.clear()
    indices = (7, 0, 1, 2, 0)
    threads = [threading.Thread(target=station.put, args=(n, sound(7 if n == 7 else "a", 5_000))) for n in indices]
    threads[0].start()
    gate.wait_inside()
    for thread in threads[1:]:
        thread.start()
    until(lambda: len(station.staged) == 4)
    gate.open.set()
    for thread in threads:
        thread.join()
    assert [station.stored(n) for n in (0, 1, 2)] == [sound("a", 5_000)] * 3
    assert station.count() == 4
    audit(station)
    station.close()
