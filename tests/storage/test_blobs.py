"""Reading bytes while the disk takes its time, and while what they lie in is collected."""

import threading

import pytest

from longtake.storage.blobs import MAX_OPEN, LocalBlobs
from longtake.storage.disk import Disk
from longtake.storage.packs import Record
from tests.sessions.depot import new_id

PATIENCE_S = 20


class SleepyDisk(Disk):
    """Does not answer the first read before it is woken."""

    def __init__(self):
        self.is_asleep, self.awake = threading.Event(), threading.Event()

    def read_some(self, fd, size_bytes, at):
        if not self.is_asleep.is_set():
            self.is_asleep.set()
            assert self.awake.wait(PATIENCE_S)
        return super().read_some(fd, size_bytes, at)


@pytest.fixture
def slow(tmp_path):
    """Blobs, and the place of some bytes that somebody is reading; at the end he must have got them."""
    disk = SleepyDisk()
    blobs = LocalBlobs(tmp_path, disk, new_id)
    (at,) = blobs.append("packs", [Record(head={}, body=[b"cold"])])
    blobs.finish("packs")
    got = []
    reader = threading.Thread(target=lambda: got.append(blobs.read(at)))
    reader.start()
    assert disk.is_asleep.wait(PATIENCE_S)
    yield blobs, at
    disk.awake.set()
    reader.join()
    blobs.close()
    assert got == [b"cold"]


def test_whoever_reads_other_bytes_does_not_wait(slow):
    blobs, _ = slow
    (other,) = blobs.append("packs", [Record(head={}, body=[b"warm"])])
    assert blobs.read(other) == b"warm"


def test_what_is_being_read_may_be_collected(slow):
    blobs, at = slow
    blobs.remove_pack("packs", at.key)
    assert not blobs.path(at).exists()


def test_what_is_being_read_may_make_room_for_other_files(slow):
    blobs, _ = slow
    for n in range(MAX_OPEN + 1):
        (at,) = blobs.append("packs", [Record(head={}, body=[b"%d" % n])])
        blobs.finish("packs")
        assert blobs.read(at) == b"%d" % n
