"""Packs: what was appended is found again, and a torn tail is never built upon."""

import errno
import itertools
import json
import shutil
import zlib

import pytest

from longtake.model.errors import StorageFailed, StorageFull
from longtake.storage.blobs import StoreName
from longtake.storage.disk import Disk
from longtake.storage.packs import (
    AUDIO_DELETED,
    BODY,
    ELSEWHERE,
    HEADER,
    MAGIC,
    PURGED,
    SEGMENT,
    TOMBSTONES,
    Broken,
    Found,
    PackWriter,
    Record,
    scan,
    survey,
)
from tests.storage.disks import FailingDisk, StutteringDisk

RECORDS = [Record(head={"index": n, "type": "ümlaut"}, body=[b"%d" % n * 10, b"!"]) for n in range(3)]


@pytest.fixture
def written(tmp_path):
    """One pack of three records."""
    writer = PackWriter(tmp_path / "packs", Disk())
    name, offsets = writer.append(RECORDS)
    writer.close()
    return tmp_path / "packs" / name, offsets


def bodies(path):
    data = path.read_bytes()
    return [data[found.offset : found.offset + found.size_bytes] for found in scan(path)]


def test_records_are_found_with_what_they_say_and_where_their_bytes_lie(written):
    path, offsets = written
    found = list(scan(path))
    assert [one.head for one in found] == [record.head for record in RECORDS]
    assert [one.offset for one in found] == offsets
    assert bodies(path) == [b"".join(record.body) for record in RECORDS]


def test_a_stuttering_disk_writes_the_same_pack(written, tmp_path):
    writer = PackWriter(tmp_path / "other", StutteringDisk())
    name, offsets = writer.append(RECORDS)
    writer.close()
    assert (tmp_path / "other" / name).read_bytes() == written[0].read_bytes()
    assert offsets == written[1]


def test_a_pack_torn_at_any_byte_of_its_last_record_keeps_the_others(written, tmp_path):
    path, _ = written
    whole = path.read_bytes()
    last = list(scan(path))[1]
    start = last.offset + last.size_bytes
    torn = tmp_path / "torn.pack"
    for end in range(start, len(whole)):
        torn.write_bytes(whole[:end])
        assert bodies(torn) == [b"".join(record.body) for record in RECORDS[:2]]


def test_zeroes_behind_the_last_record_end_a_pack(written):
    path, _ = written
    path.write_bytes(path.read_bytes() + bytes(4096))
    assert len(bodies(path)) == 3


@pytest.mark.parametrize("at", [0, 5, 9, 17, HEADER.size, HEADER.size + 3])
def test_a_record_whose_head_is_damaged_is_not_believed_and_the_next_is_found_again(written, at):
    path, _ = written
    _, second, _ = scan(path)
    data = bytearray(path.read_bytes())
    first_end = second.offset - HEADER.size - len(json.dumps(second.head, separators=(",", ":")))
    data[first_end + at] ^= 0xFF
    path.write_bytes(data)
    first, broken, third = survey(path)
    assert isinstance(first, Found)
    assert isinstance(third, Found)
    assert [found.head["index"] for found in (first, third)] == [0, 2]
    assert broken == Broken(offset=first_end, size_bytes=second.offset + second.size_bytes - first_end, is_tail=False)


def test_a_torn_tail_is_told_as_such(written):
    path, _ = written
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    *_, broken = survey(path)
    assert broken == Broken(offset=size * 2 // 3, size_bytes=size // 3 - 1, is_tail=True)


def test_a_magic_word_inside_a_damaged_body_is_no_record(tmp_path):
    writer = PackWriter(tmp_path, Disk())
    name, _ = writer.append([Record(head={"n": n}, body=[b"LTR1 LTR1" * 9]) for n in range(2)])
    writer.close()
    data = bytearray((tmp_path / name).read_bytes())
    data[0] ^= 0xFF
    (tmp_path / name).write_bytes(data)
    assert [found.head["n"] for found in scan(tmp_path / name)] == [1]


@pytest.mark.parametrize("head", [b'{"size":-100}', b"[]", b"7", b"{", b"\xff", b"[" * 60_000])
def test_what_a_body_pretends_behind_damage_is_no_record_unless_it_could_be_one(tmp_path, head):
    forged = HEADER.pack(MAGIC, len(head), 0, zlib.crc32(head)) + head
    writer = PackWriter(tmp_path, Disk())
    name, _ = writer.append([Record(head={"n": n}, body=[bytes(100), forged]) for n in range(2)])
    writer.close()
    data = bytearray((tmp_path / name).read_bytes())
    data[0] ^= 0xFF
    (tmp_path / name).write_bytes(data)
    found = list(itertools.islice(survey(tmp_path / name), 5))
    assert [getattr(one, "head", None) for one in found] == [None, {"n": 1}]


def test_a_length_that_is_damaged_does_no_harm_where_the_head_says_it_too(tmp_path):
    writer = PackWriter(tmp_path, Disk())
    name, offsets = writer.append([Record(head={"n": n, "size": 5}, body=[b"12345"]) for n in range(2)])
    writer.close()
    data = bytearray((tmp_path / name).read_bytes())
    data[14] ^= 0x0F  # the lowest byte but one of the body's length
    (tmp_path / name).write_bytes(data)
    assert [found.offset for found in scan(tmp_path / name)] == offsets


def test_a_new_process_begins_a_new_pack(written):
    path, _ = written
    writer = PackWriter(path.parent, Disk())
    name, _ = writer.append(RECORDS)
    writer.close()
    assert name > path.name
    assert len(bodies(path)) == len(bodies(path.parent / name)) == 3


def test_nothing_is_appended_behind_a_torn_tail(written):
    path, _ = written
    torn = path.read_bytes()[:-5]
    path.write_bytes(torn)
    writer = PackWriter(path.parent, Disk())
    writer.append(RECORDS)
    writer.close()
    assert path.read_bytes() == torn


def test_a_full_pack_is_followed_by_another(tmp_path):
    writer = PackWriter(tmp_path, Disk(), roll_bytes=100)
    names = [writer.append([Record(head={}, body=[bytes(60)])])[0] for _ in range(4)]
    writer.close()
    assert len(names) == 4
    assert len(set(names)) == 2
    assert sum(len(bodies(tmp_path / name)) for name in set(names)) == 4


@pytest.mark.parametrize(("code", "error"), [(errno.EIO, StorageFailed), (errno.ENOSPC, StorageFull)])
@pytest.mark.parametrize("at", range(4))
def test_after_a_failure_anywhere_the_next_append_begins_a_new_pack(tmp_path, at, code, error):
    disk = FailingDisk(at, code)
    writer = PackWriter(tmp_path, disk)
    with pytest.raises(error):
        writer.append(RECORDS)
    failed_at = len(disk.calls)
    name, offsets = writer.append(RECORDS)
    writer.close()
    assert disk.calls[failed_at] == "create"
    assert [found.offset for found in scan(tmp_path / name)] == offsets


def test_a_failure_in_a_pack_that_was_good_leaves_what_was_appended_before(tmp_path):
    disk = FailingDisk()
    writer = PackWriter(tmp_path, disk)
    good, _ = writer.append(RECORDS)
    disk.at = len(disk.calls) + 1  # its flush
    with pytest.raises(StorageFailed):
        writer.append(RECORDS)
    other, _ = writer.append(RECORDS)
    writer.close()
    assert other != good
    assert bodies(tmp_path / good)[:3] == bodies(tmp_path / other)


def test_the_number_of_a_pack_is_never_used_twice(tmp_path):
    writer = PackWriter(tmp_path / "packs", Disk())
    first, _ = writer.append(RECORDS)
    writer.close()
    shutil.copy(tmp_path / "packs" / first, tmp_path / "packs" / "00000007.pack")
    name, _ = PackWriter(tmp_path / "packs", Disk()).append(RECORDS)
    assert name == "00000008.pack"


def test_the_words_of_packs_that_there_are_never_change():
    """A rebuild that did not know a tombstone would bring back what was deleted."""
    assert {PURGED, AUDIO_DELETED} == TOMBSTONES == {"purged", "audio-deleted"}
    assert (SEGMENT, BODY, ELSEWHERE) == ("segment", "body", "elsewhere")
    assert [str(name) for name in StoreName] == ["packs", "derived", "files"]
