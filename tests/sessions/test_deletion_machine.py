"""Any row of recording, deleting, collecting and power cuts: what was not deleted is there, what was is nowhere."""

import hashlib
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import event

from longtake.model.errors import AudioDeleted, LongtakeError, NotFound, SegmentConflict, Trashed
from longtake.storage.catalog import derived
from tests.ingest.station import SMALL, sound
from tests.sessions.depot import HOUR_MS, TRASH_MS, Depot, Time, audit, leftovers
from tests.storage.disks import ForgetfulDisk, VolatileDisk

BODIES = st.builds(sound, st.integers(0, 2), st.sampled_from([60, SMALL + 1]))
NUMBERS = st.integers(0, 3)
AGES_MS = st.sampled_from([0, HOUR_MS, 24 * HOUR_MS])


@dataclass
class Known:
    """A session as its owner knows it."""

    tracks: list[str] = field(default_factory=list)
    segments: dict[tuple[str, int], bytes] = field(default_factory=dict)
    trashed_at_ms: int | None = None
    is_ended: bool = False
    has_audio: bool = True


class Deleting(RuleBasedStateMachine):
    """`sessions` is what there must be, `gone` what must not."""

    disk_type: type[VolatileDisk] = VolatileDisk

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="longtake-machine-"))
        self.clock = Time()
        self.lives = 0
        self.sessions: dict[str, Known] = {}
        self.gone: set[str] = set()
        self.depot = Depot(self.root / "0", self.clock, self.disk_type())

    def teardown(self) -> None:
        self.depot.close()
        shutil.rmtree(self.root)

    def pick(self, number: int) -> str:
        return list(self.sessions)[number % len(self.sessions)]

    @precondition(lambda self: len(self.sessions) < 3)
    @rule()
    def a_session_begins(self):
        session_id = self.depot.create()
        self.sessions[session_id] = Known(tracks=[self.depot.add_track(session_id)])

    @precondition(lambda self: self.sessions)
    @rule(number=NUMBERS)
    def a_track_is_added(self, number):
        session_id = self.pick(number)
        known = self.sessions[session_id]
        if len(known.tracks) == 2 or known.trashed_at_ms is not None or known.is_ended:
            return
        known.tracks.append(self.depot.add_track(session_id))

    @precondition(lambda self: self.sessions)
    @rule(number=NUMBERS, track=NUMBERS, sends=st.lists(st.tuples(NUMBERS, BODIES), min_size=1, max_size=4))
    def segments_are_sent(self, number, track, sends):
        known = self.sessions[self.pick(number)]
        track_id = known.tracks[track % len(known.tracks)]
        for index, body in sends:
            key = (track_id, index)
            try:
                receipt = self.depot.put(track_id, index, body)
            except Trashed:
                assert known.trashed_at_ms is not None
            except AudioDeleted:
                assert not known.has_audio
            except SegmentConflict:
                assert known.segments[key] != body
            else:
                assert known.trashed_at_ms is None
                assert known.has_audio
                assert receipt.is_new is (key not in known.segments)
                assert known.segments.setdefault(key, body) == body

    @precondition(lambda self: self.sessions)
    @rule(number=NUMBERS, index=st.integers(4, 9), size=st.sampled_from([60, SMALL + 1]), has_rest=st.booleans())
    def bytes_that_were_purged_come_again(self, number, index, size, has_rest):
        known = self.sessions[self.pick(number)]
        key = (known.tracks[0], index)
        if known.trashed_at_ms is not None or not known.has_audio or key in known.segments:
            return
        body = sound(("again", self.lives, len(self.gone)), size)
        session_id = self.depot.create()
        self.depot.put(self.depot.add_track(session_id), 0, body)
        self.depot.deletion.purge(session_id)
        self.gone.add(session_id)
        if has_rest:
            self.clock.ahead_ms += 2 * HOUR_MS
            self.depot.collector.collect(HOUR_MS)
        self.depot.put(*key, body)
        known.segments[key] = body

    @precondition(lambda self: self.sessions)
    @rule(number=NUMBERS, owner=NUMBERS, block=NUMBERS, body=BODIES)
    def a_block_is_made(self, number, owner, block, body):
        session_id = self.pick(number)
        known = self.sessions[session_id]
        owners = [session_id, *known.tracks]
        try:
            self.depot.make_block(session_id, owners[owner % len(owners)], block, body)
        except AudioDeleted:
            assert not known.has_audio

    @precondition(lambda self: self.sessions)
    @rule(number=NUMBERS, block=NUMBERS)
    def blocks_are_dropped(self, number, block):
        with self.depot.db.write() as c:
            derived.drop_blocks(c, self.pick(number), block, self.clock())

    @precondition(lambda self: self.sessions)
    @rule(number=NUMBERS, file_type=st.sampled_from(["mp3", "report"]), body=BODIES)
    def a_file_is_made(self, number, file_type, body):
        session_id = self.pick(number)
        try:
            self.depot.make_artifact(session_id, file_type, body)
        except AudioDeleted:
            assert file_type == "mp3"
            assert not self.sessions[session_id].has_audio

    @precondition(lambda self: self.sessions)
    @rule(number=NUMBERS)
    def a_session_ends(self, number):
        session_id = self.pick(number)
        known = self.sessions[session_id]
        if known.is_ended or known.trashed_at_ms is not None:
            return
        self.depot.end(session_id)
        known.is_ended = True

    @precondition(lambda self: self.sessions)
    @rule(number=NUMBERS)
    def a_session_goes_to_the_trash(self, number):
        session_id = self.pick(number)
        self.depot.sessions.trash(session_id)
        if self.sessions[session_id].trashed_at_ms is None:
            self.sessions[session_id].trashed_at_ms = self.clock()

    @precondition(lambda self: self.sessions)
    @rule(number=NUMBERS)
    def a_session_is_restored(self, number):
        session_id = self.pick(number)
        self.depot.sessions.restore(session_id)
        with self.depot.db.write() as c:
            self.depot.work.cancel_in(c, session_id)
        self.sessions[session_id].trashed_at_ms = None

    @precondition(lambda self: self.sessions)
    @rule(number=NUMBERS, cut_at=st.none() | st.integers(1, 6))
    def a_session_is_purged(self, number, cut_at):
        session_id = self.pick(number)
        was_cut = self.cut_during(cut_at, lambda: self.depot.deletion.purge(session_id))
        if session_id not in self.depot_ids():
            self.forget(session_id)
        else:
            assert was_cut

    @precondition(lambda self: self.sessions)
    @rule(number=NUMBERS, cut_at=st.none() | st.integers(1, 6))
    def recordings_are_deleted(self, number, cut_at):
        session_id = self.pick(number)
        known = self.sessions[session_id]
        if not known.is_ended or known.trashed_at_ms is not None:
            return
        self.cut_during(cut_at, lambda: self.depot.deletion.delete_audio(session_id))
        if self.depot.sessions.get(session_id).audio_deleted_at_ms is not None:
            known.has_audio = False
            known.segments.clear()
        else:
            assert cut_at is not None

    @rule(cut_at=st.none() | st.integers(1, 8))
    def the_trash_is_emptied(self, cut_at):
        self.cut_during(cut_at, self.depot.deletion.purge_expired)
        there = self.depot_ids()
        for session_id, known in list(self.sessions.items()):
            is_due = known.trashed_at_ms is not None and known.trashed_at_ms <= self.clock() - TRASH_MS
            if session_id not in there:
                assert is_due
                self.forget(session_id)
            else:
                assert not is_due or cut_at is not None

    @rule(hours=st.integers(1, 30))
    def time_passes(self, hours):
        self.clock.ahead_ms += hours * HOUR_MS

    @rule(age_ms=AGES_MS, cut_at=st.none() | st.integers(1, 8))
    def bytes_are_collected(self, age_ms, cut_at):
        now_ms = self.clock()
        if not self.cut_during(cut_at, lambda: self.depot.collector.collect(age_ms)):
            self.nothing_is_left_over(now_ms - age_ms)
            left = self.depot.collector.collect(self.clock() - now_ms + age_ms, dry_run=True)
            assert (left.deleted, left.packs) == (0, 0)

    def nothing_is_left_over(self, before_ms: int) -> None:
        """After a collection: no bytes without a reference for longer than the grace."""
        with self.depot.db.read() as c:
            query = "SELECT sha256 FROM blobs WHERE ref_count = 0 AND orphaned_at_ms <= ?"
            assert c.exec_driver_sql(query, (before_ms,)).all() == []
            named = {row[0] for row in c.exec_driver_sql("SELECT \"key\" FROM blobs WHERE store = 'files'")}
        for path in (self.depot.folder / "files").iterdir():
            assert path.name in named or path.stat().st_mtime * 1000 > before_ms

    @rule()
    def the_process_ends_in_order(self):
        self.depot.close()
        self.depot = Depot(self.depot.folder, self.clock, self.disk_type())

    @rule()
    def the_power_is_cut(self):
        self.open_image(self.cut_power())

    def cut_power(self) -> Path:
        """What a power cut would leave just now."""
        self.lives += 1
        image = self.root / str(self.lives)
        assert isinstance(self.depot.disk, VolatileDisk)
        self.depot.disk.cut_power(self.depot.folder, image)
        return image

    def open_image(self, image: Path) -> None:
        self.depot.close()
        self.depot = Depot(image, self.clock, self.disk_type())

    def cut_during(self, cut_at: int | None, act) -> bool:
        """Do something; the power is cut before its n-th commit, if it gets that far. Says whether it was."""
        images: list[Path] = []
        count = 0

        def commit(_connection: object) -> None:
            nonlocal count
            count += 1
            if count == cut_at:
                images.append(self.cut_power())

        event.listen(self.depot.db._writer, "commit", commit)
        try:
            act()
        finally:
            event.remove(self.depot.db._writer, "commit", commit)
        if images:
            self.open_image(images[0])
        return bool(images)

    def depot_ids(self) -> set[str]:
        with self.depot.db.read() as c:
            return set(c.exec_driver_sql("SELECT id FROM sessions WHERE purged_at_ms IS NULL").scalars())

    def forget(self, session_id: str) -> None:
        del self.sessions[session_id]
        self.gone.add(session_id)

    @invariant()
    def what_was_not_deleted_is_there(self):
        expected = {
            key: hashlib.sha256(body).hexdigest()
            for known in self.sessions.values()
            for key, body in known.segments.items()
        }
        assert self.depot.segments() == expected
        assert self.depot_ids() == set(self.sessions)
        audit(self.depot)

    @invariant()
    def what_was_deleted_is_nowhere(self):
        for session_id in self.gone:
            assert not leftovers(self.depot.db, session_id)
            with pytest.raises(NotFound):
                self.depot.sessions.get(session_id)
        tombs = {(head["kind"], head["session"]) for head, _, _ in self.depot.records() if "at_ms" in head}
        assert {("purged", session_id) for session_id in self.gone} <= tombs
        without = {key for key, known in self.sessions.items() if not known.has_audio}
        assert {("audio-deleted", session_id) for session_id in without} <= tombs


class Forgetful(Deleting):
    """The control: a disk that does not flush."""

    disk_type = ForgetfulDisk


SETTINGS = settings(max_examples=20, stateful_step_count=30, deadline=None, print_blob=False)


def test_what_was_not_deleted_survives_and_what_was_does_not():
    run_state_machine_as_test(Deleting, settings=SETTINGS)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_same_is_false_on_a_disk_that_does_not_flush():
    with pytest.raises((AssertionError, LongtakeError, ExceptionGroup)):
        run_state_machine_as_test(Forgetful, settings=settings(SETTINGS, database=None, phases=[Phase.generate]))
