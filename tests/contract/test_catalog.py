"""What the rows of sessions, tracks, segments and bytes must do on each database there is."""

import hashlib
from dataclasses import replace

import pytest
from sqlalchemy import exc

from longtake.model.errors import NotFound
from longtake.model.lifecycle import SessionState, TrackHealth, TrackState
from longtake.model.session import LaneStatus, Mode, Segment, SegmentStatus, Session, Track, TrackKind
from longtake.storage.blobs import Locator
from longtake.storage.catalog import blobs, segments, sessions, tracks
from longtake.storage.database import Database


def digest(seed):
    return hashlib.sha256(str(seed).encode()).hexdigest()


def located(*seeds):
    return {digest(n): Locator(store="packs", key="1.pack", offset=10 * n, size_bytes=10) for n in seeds}


def segment(index, track_id="t", **columns):
    return Segment(
        id=f"{track_id}-{index}",
        track_id=track_id,
        index=index,
        sha256=digest(0),
        size_bytes=10,
        stored_at_ms=index,
        status=SegmentStatus.PENDING,
        media=LaneStatus.PENDING,
        speech=LaneStatus.PENDING,
        **columns,
    )


class CatalogContract:
    """A subclass brings `db`, empty and migrated."""

    @pytest.fixture
    def track(self, db):
        """A track with bytes to refer to."""
        with db.write() as c:
            session = Session(
                id="s",
                title="x",
                mode=Mode.SOLO,
                state=SessionState.ACTIVE,
                created_at_ms=1,
                last_activity_at_ms=1,
                mix_settled=True,
            )
            sessions.insert_session(c, session)
            for number, track_id in enumerate(("t", "u")):
                track = Track(
                    id=track_id,
                    session_id="s",
                    kind=TrackKind.MICROPHONE,
                    number=number,
                    state=TrackState.ACTIVE,
                    health=TrackHealth.HEALTHY,
                )
                tracks.insert_track(c, track)
            blobs.insert_blobs(c, located(0))
        return "t"

    def test_a_segment_comes_back_as_it_was_stored(self, db, track):
        stored = segment(3, start_ms=5, duration_ms=6, mime_type="audio/wav")
        with db.write() as c:
            segments.insert_segments(c, [stored])
        with db.read() as c:
            assert segments.get_segment(c, track, 3) == stored

    def test_a_tracks_counters_are_its_segments(self, db, track):
        with db.write() as c:
            segments.insert_segments(c, [segment(0), segment(1), segment(0, "u"), segment(2)])
            segments.insert_segments(c, [segment(9)])
            segments.update_segment(c, segments.get_segment(c, track, 1), media=LaneStatus.DONE)
            segments.update_segment(c, segments.get_segment(c, track, 2), media=LaneStatus.FAILED)
            found = tracks.get_track(c, track)
            other = tracks.get_track(c, "u")
        assert (found.counts.pending, found.counts.processing, found.counts.failed) == (2, 1, 1)
        assert (found.size_bytes, other.size_bytes, other.counts.total) == (40, 10, 1)

    def test_a_track_with_new_segments_is_at_rest_no_more(self, db, track):
        with db.write() as c:
            segments.insert_segments(c, [segment(0)])
            found, other = tracks.get_track(c, track), tracks.get_track(c, "u")
        assert (found.media_settled, found.speech_settled) == (False, False)
        assert (other.media_settled, other.speech_settled) == (True, True)

    def test_sessions_in_which_something_arrived_are_alive(self, db, track):
        with db.write() as c:
            sessions.note_arrivals(c, ["s"], 77)
            found = sessions.get_session(c, "s")
        assert (found.last_activity_at_ms, found.mix_settled) == (77, False)

    def test_segments_are_found_by_their_addresses_and_no_other(self, db, track):
        with db.write() as c:
            segments.insert_segments(c, [segment(n, t) for n in range(100) for t in ("t", "u")])
            wanted = {("t", n) for n in range(0, 90, 2)} | {("u", n) for n in range(1, 60, 3)}
            found = segments.find_segments(c, wanted | {("t", 500), ("nowhere", 1)})
        assert set(found) == wanted
        assert all((one.track_id, one.index) == key for key, one in found.items())

    def test_no_segments_are_found_by_no_addresses(self, db, track):
        with db.write() as c:
            assert segments.find_segments(c, []) == {}
            assert blobs.locate(c, []) == {}
            assert segments.find_addresses(c, []) == {}

    def test_an_address_says_where_a_track_belongs(self, db, track):
        with db.write() as c:
            before = segments.find_addresses(c, ["t", "nowhere"])
            sessions.update_session(c, "s", trashed_at_ms=5)
            after = segments.find_addresses(c, ["t"])
        assert set(before) == {"t"}
        assert (before["t"].session_id, before["t"].state) == ("s", SessionState.ACTIVE)
        assert (before["t"].is_trashed, after["t"].is_trashed) == (False, True)

    def test_one_address_holds_one_segment(self, db, track):
        with db.write() as c:
            segments.insert_segments(c, [segment(0)])
        with pytest.raises(exc.IntegrityError), db.write() as c:
            segments.insert_segments(c, [segment(1), segment(0)])
        with db.read() as c:
            assert tracks.get_track(c, track).counts.total == 1

    @pytest.mark.parametrize("bad", [segment(0, "nowhere"), replace(segment(0), sha256=digest(99))])
    def test_a_segment_needs_its_track_and_its_bytes(self, db, track, bad):
        with pytest.raises(exc.IntegrityError), db.write() as c:
            segments.insert_segments(c, [bad])

    def test_references_are_counted_where_they_are_made(self, db, track):
        with db.write() as c:
            blobs.insert_blobs(c, located(1, 2), {digest(1): 3, digest(2): 1})
            blobs.add_references(c, {digest(1): 2})
            blobs.release_references(c, {digest(1): 1, digest(2): 1}, 77)
            blobs.add_reference(c, digest(0))
            counts = dict(c.exec_driver_sql("SELECT sha256, ref_count FROM blobs").all())
        assert counts == {digest(0): 1, digest(1): 4, digest(2): 0}

    def test_the_last_reference_that_goes_leaves_an_orphan_and_the_first_that_comes_takes_it_up(self, db, track):
        def orphaned(c):
            return dict(c.exec_driver_sql("SELECT sha256, orphaned_at_ms FROM blobs").all())

        with db.write() as c:
            blobs.insert_blobs(c, located(1, 2), {digest(1): 2, digest(2): 1})
            blobs.release_references(c, {digest(1): 1, digest(2): 1}, 77)
            assert orphaned(c) == {digest(0): None, digest(1): None, digest(2): 77}
            blobs.release_references(c, {digest(1): 1}, 78)
            blobs.add_references(c, {digest(2): 1})
            assert orphaned(c) == {digest(0): None, digest(1): 78, digest(2): None}

    def test_bytes_that_moved_keep_their_references(self, db, track):
        elsewhere = Locator(store="files", key="x", offset=0, size_bytes=10)
        with db.write() as c:
            blobs.add_references(c, {digest(0): 7})
            blobs.relocate_blobs(c, {digest(0): elsewhere})
            assert blobs.get_locator(c, digest(0)) == elsewhere
            assert c.exec_driver_sql("SELECT ref_count FROM blobs").scalar() == 7

    def test_bytes_that_are_not_stored_are_not_found(self, db, track):
        with db.read() as c, pytest.raises(NotFound, match="blob"):
            blobs.get_locator(c, digest(5))

    def test_the_pages_of_a_session_hold_every_segment_once_and_in_order(self, db, track):
        with db.write() as c:
            segments.insert_segments(c, [segment(n, t) for n in (4, 0, 7, 2, 9) for t in ("u", "t")])
            seen, cursor = [], None
            while True:
                page, cursor = segments.list_segments(c, "s", limit=3, cursor=cursor)
                seen += [(one.track_id, one.index) for one in page]
                if cursor is None:
                    break
        assert seen == [(t, n) for t in ("t", "u") for n in (0, 2, 4, 7, 9)]


class TestSqlite(CatalogContract):
    @pytest.fixture
    def db(self, tmp_path):
        database = Database(tmp_path / "longtake.db")
        database.migrate()
        yield database
        database.close()

    def test_segments_are_found_by_seeking_however_many_there_are(self, db, track):
        with db.read() as c:
            statement = segments.FIND.params(tracks=["t", "u"], numbers=[1, 2])
            text = statement.compile(c, compile_kwargs={"literal_binds": True})
            plan = c.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all()
        assert any("SEARCH segments USING PRIMARY KEY (track_id=? AND number=?)" in row.detail for row in plan)
