"""What every store of bytes must do, run on each that there is."""

import hashlib
import uuid
from dataclasses import replace

import pytest

from longtake.model.errors import NotFound, StorageFailed
from longtake.storage.blobs import LocalBlobs, Locator
from longtake.storage.disk import Disk
from longtake.storage.packs import Record


class BlobsContract:
    """A subclass brings `store`, and `reopen`: the same bytes in a new process."""

    def test_what_was_appended_is_read_back(self, store):
        locators = store.append("packs", [Record(head={"n": n}, body=[b"a" * n, b"b"]) for n in range(5)])
        assert [store.read(locator) for locator in locators] == [b"a" * n + b"b" for n in range(5)]
        assert [locator.size_bytes for locator in locators] == [1, 2, 3, 4, 5]

    def test_a_record_without_bytes_is_empty(self, store):
        (locator,) = store.append("packs", [Record(head={"body": "elsewhere"})])
        assert store.read(locator) == b""

    @pytest.mark.parametrize(("start", "end"), [(0, None), (3, 7), (0, 0), (9, 100), (10, 12), (7, 3)])
    def test_a_range_is_a_slice(self, store, start, end):
        _, locator, _ = store.append("packs", [Record(head={}, body=[b"0123456789"]) for _ in range(3)])
        assert store.read(locator, start, end) == b"0123456789"[start:end]

    def test_a_large_body_is_read_back_after_it_was_kept(self, store):
        staged = store.stage()
        staged.write([b"one", b"two"])
        staged.write([b"three"])
        assert staged.digest() == hashlib.sha256(b"onetwothree").hexdigest()
        staged.flush()
        locator = staged.keep()
        store.sync()
        assert store.read(locator, 3, 8) == b"twoth"
        assert locator.size_bytes == staged.size_bytes == 11

    def test_keeping_flushes_what_was_not_flushed_and_twice_is_once(self, store):
        staged = store.stage()
        staged.write([b"x"])
        assert staged.keep() == staged.keep()

    def test_the_same_large_body_twice_lies_in_one_place(self, store):
        first, second = store.stage(), store.stage()
        for staged in (first, second):
            staged.write([b"same"])
        assert first.keep() == second.keep()
        assert store.read(first.keep()) == b"same"

    def test_whether_bytes_are_there_is_known_without_reading_them(self, store):
        _, packed = store.append("packs", [Record(head={}, body=[b"0123456789"]) for _ in range(2)])
        staged = store.stage()
        staged.write([b"x" * 10])
        kept = staged.keep()
        for locator in (packed, kept):
            assert store.holds(locator)
            assert not store.holds(replace(locator, size_bytes=11))
            assert not store.holds(replace(locator, key="00009999.pack"))

    def test_small_bytes_are_compared_with_their_digest(self, store):
        _, packed = store.append("packs", [Record(head={}, body=[b"0123456789"]) for _ in range(2)])
        digest = hashlib.sha256(b"0123456789").hexdigest()
        assert store.is_whole(packed, digest)
        for elsewhere in ({"offset": packed.offset - 1}, {"size_bytes": 11}, {"key": "00009999.pack"}):
            assert not store.is_whole(replace(packed, **elsewhere), digest)

    @pytest.mark.parametrize("damaged", [b"sam!", b"same and more", b"s", b""])
    def test_a_large_body_heals_what_is_damaged_under_its_name(self, store, damaged):
        first, second, third = store.stage(), store.stage(), store.stage()
        for staged in (first, second, third):
            staged.write([b"same"])
        locator = first.keep()
        store.read(locator)
        store.path(locator).write_bytes(damaged)
        second.flush()
        assert (first.heals, second.heals) == (False, True)
        assert second.keep() == locator
        store.sync()
        third.flush()
        assert not third.heals
        assert store.read(locator) == store.path(locator).read_bytes() == b"same"

    def test_what_was_kept_and_is_gone_cannot_be_kept_again(self, store):
        staged = store.stage()
        staged.write([b"x"])
        locator = staged.keep()
        store.path(locator).unlink()
        with pytest.raises(StorageFailed):
            staged.keep()

    def test_what_was_discarded_does_not_harm_what_was_kept(self, store):
        kept, dropped = store.stage(), store.stage()
        for staged in (kept, dropped):
            staged.write([b"same"])
        locator = kept.keep()
        for staged in (dropped, dropped, kept):
            staged.discard()
        assert store.read(locator) == b"same"

    def test_both_stores_of_records_are_apart(self, store):
        (ours,) = store.append("packs", [Record(head={}, body=[b"original"])])
        (theirs,) = store.append("derived", [Record(head={}, body=[b"made of it"])])
        assert (store.read(ours), store.read(theirs)) == (b"original", b"made of it")

    def test_everything_is_there_in_the_next_process(self, store, reopen):
        (packed,) = store.append("packs", [Record(head={}, body=[b"small"])])
        staged = store.stage()
        staged.write([b"large"])
        filed = staged.keep()
        store.sync()
        again = reopen()
        assert (again.read(packed), again.read(filed)) == (b"small", b"large")

    def test_a_missing_blob_is_not_found(self, store):
        with pytest.raises(NotFound, match="blob"):
            store.read(Locator(store="files", key="00" * 32, offset=0, size_bytes=1))

    def test_bytes_that_end_too_early_are_an_error_and_never_returned(self, store):
        (locator,) = store.append("packs", [Record(head={}, body=[b"short"])])
        longer = Locator(store="packs", key=locator.key, offset=locator.offset, size_bytes=6)
        with pytest.raises(StorageFailed):
            store.read(longer)


class TestLocalBlobs(BlobsContract):
    @pytest.fixture
    def opened(self):
        stores: list[LocalBlobs] = []
        yield stores
        for store in stores:
            store.close()

    @pytest.fixture
    def reopen(self, tmp_path, opened):
        def again():
            opened.append(LocalBlobs(tmp_path / "data", Disk(), lambda: str(uuid.uuid4())))
            return opened[-1]

        (tmp_path / "data").mkdir(exist_ok=True)
        return again

    @pytest.fixture
    def store(self, reopen):
        return reopen()

    def test_a_blob_is_a_stretch_of_a_local_file(self, store):
        (locator,) = store.append("packs", [Record(head={}, body=[b"here"])])
        assert store.path(locator).read_bytes()[locator.offset :] == b"here"

    def test_bodies_that_never_became_a_receipt_are_swept_at_the_next_start(self, store, reopen):
        store.stage().write([b"torn off"])
        again = reopen()
        assert list((again.folder / "incoming").iterdir()) == []

    def test_more_files_than_are_kept_open_are_all_readable(self, store):
        locators = []
        for n in range(70):
            staged = store.stage()
            staged.write([b"%d" % n])
            locators.append(staged.keep())
        assert [store.read(locator) for locator in locators] == [b"%d" % n for n in range(70)]
