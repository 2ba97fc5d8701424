"""Writing, flushing, and what the disk says as errors of ours."""

import errno
import os

import pytest

from longtake.model.errors import StorageFailed, StorageFull
from longtake.storage.disk import IOV_MAX, Disk, lately, storage_error
from tests.storage.disks import StutteringDisk


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_room_is_a_full_disk(code):
    assert isinstance(storage_error(OSError(code, "said so")), StorageFull)


@pytest.mark.parametrize("code", [errno.EIO, errno.EROFS, errno.EACCES])
def test_anything_else_is_a_broken_disk(code):
    error = storage_error(OSError(code, "said so"))
    assert isinstance(error, StorageFailed)
    assert "said so" in error.detail


@pytest.mark.parametrize("disk", [Disk(), StutteringDisk()])
def test_all_parts_are_written_however_few_bytes_are_taken_at_once(tmp_path, disk):
    fd = disk.create(tmp_path / "file")
    written = disk.write_all(fd, [b"", b"one", b"", memoryview(b"and another"), bytearray(b"!"), b""])
    disk.flush(fd)
    os.close(fd)
    assert written == 15
    assert (tmp_path / "file").read_bytes() == b"oneand another!"


def test_more_parts_than_the_system_takes_at_once_are_written(tmp_path):
    disk = Disk()
    parts = [b"%d," % n for n in range(3 * IOV_MAX + 1)]
    fd = disk.create(tmp_path / "file")
    disk.write_all(fd, parts)
    os.close(fd)
    assert (tmp_path / "file").read_bytes() == b"".join(parts)


def test_a_file_that_is_there_is_never_opened_anew(tmp_path):
    (tmp_path / "file").write_bytes(b"acknowledged")
    with pytest.raises(StorageFailed):
        Disk().create(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"acknowledged"


def test_every_call_turns_the_systems_error_into_ours(tmp_path):
    disk = Disk()
    missing = tmp_path / "missing"
    calls = [
        lambda: disk.write_all(10**6, [b"x"]),
        lambda: disk.flush(10**6),
        lambda: disk.flush_folder(missing),
        lambda: disk.create(missing / "file"),
        lambda: disk.rename(missing, tmp_path / "other"),
        lambda: disk.free_bytes(missing),
    ]
    for call in calls:
        with pytest.raises(StorageFailed):
            call()


def test_free_bytes_are_those_of_the_disk_under_a_folder(tmp_path):
    assert 0 < Disk().free_bytes(tmp_path) <= os.statvfs(tmp_path).f_blocks * os.statvfs(tmp_path).f_frsize


def test_what_was_asked_lately_is_not_asked_again():
    moments, answers = [0.0, 0.09, 0.1, 0.19, 5.0], iter((1, 2, 3))
    ask = lately(lambda: next(answers), 0.1, lambda: moments.pop(0))
    assert [ask() for _ in range(5)] == [1, 1, 2, 2, 3]
