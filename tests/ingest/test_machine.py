"""Any row of sends, doubles, conflicts and power cuts: what was acknowledged is there, and the counts are the rows'."""

import asyncio
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from longtake.ingest.protocol import Announcement
from longtake.model.errors import DigestMismatch, LongtakeError, SegmentConflict
from longtake.model.session import Receipt
from longtake.storage.disk import Disk
from tests.ingest.station import SMALL, Station, audit, sound
from tests.storage.disks import ForgetfulDisk, VolatileDisk

INDICES = st.integers(0, 7)
TRACKS = st.sampled_from(["t", "u"])
BODIES = st.builds(sound, st.integers(0, 4), st.sampled_from([50, 51, SMALL + 1, SMALL + 2]))


class Ingest(RuleBasedStateMachine):
    """`acknowledged` is what every receipt so far has promised."""

    disk_type: type[VolatileDisk] = VolatileDisk

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="longtake-machine-"))
        self.acknowledged: dict[tuple[str, int], bytes] = {}
        self.lives = 0
        self.disk: Disk = self.disk_type()
        self.station = Station(self.root / "0", disk=self.disk)
        for track in ("t", "u"):
            self.station.add_track(track)

    def teardown(self) -> None:
        self.station.close()
        shutil.rmtree(self.root)

    def answered(self, key: tuple[str, int], body: bytes, outcome: object) -> None:
        """Compare an answer with what had been promised before."""
        before = self.acknowledged.setdefault(key, body)
        if before != body:
            assert isinstance(outcome, SegmentConflict)
        else:
            assert not isinstance(outcome, Exception)

    def send(self, key: tuple[str, int], body: bytes) -> Receipt | LongtakeError:
        try:
            return self.station.put(key[1], body, track_id=key[0])
        except LongtakeError as error:
            return error

    @rule(track=TRACKS, index=INDICES, body=BODIES)
    def one_is_sent(self, track, index, body):
        key = (track, index)
        was_new = key not in self.acknowledged
        outcome = self.send(key, body)
        self.answered(key, body, outcome)
        if not isinstance(outcome, Exception):
            assert outcome.is_new is was_new

    @rule(sends=st.lists(st.tuples(st.tuples(TRACKS, INDICES), BODIES), min_size=2, max_size=8))
    def many_are_sent_at_once(self, sends):
        async def pieces(body):
            yield body

        async def all_at_once():
            return await asyncio.gather(
                *(
                    self.station.receiver.receive(Announcement(track_id=key[0], index=key[1]), pieces(body))
                    for key, body in sends
                ),
                return_exceptions=True,
            )

        outcomes = asyncio.run(all_at_once())
        for (key, body), outcome in zip(sends, outcomes, strict=True):
            if not isinstance(outcome, Exception):
                assert self.acknowledged.setdefault(key, body) == body
        for (key, body), outcome in zip(sends, outcomes, strict=True):
            self.answered(key, body, outcome)

    @rule(body=BODIES)
    def one_is_sent_with_a_wrong_digest(self, body):
        with pytest.raises(DigestMismatch):
            self.station.put(0, body, digest="00" * 32)

    @precondition(lambda self: self.acknowledged)
    @rule()
    def the_power_is_cut(self):
        assert isinstance(self.disk, VolatileDisk)
        self.lives += 1
        image = self.root / str(self.lives)
        self.disk.cut_power(self.station.folder, image)
        self.station.close()
        self.disk = self.disk_type()
        self.station = Station(image, disk=self.disk)

    @invariant()
    def what_was_acknowledged_is_there(self):
        for (track, index), body in self.acknowledged.items():
            assert self.station.stored(index, track) == body
        assert self.station.count() == len(self.acknowledged)
        audit(self.station)


class Forgetful(Ingest):
    """The control: a disk that does not flush."""

    disk_type = ForgetfulDisk


SETTINGS = settings(max_examples=20, stateful_step_count=12, deadline=None, print_blob=False)


def test_what_was_acknowledged_survives_any_row_of_sends_and_power_cuts():
    run_state_machine_as_test(Ingest, settings=SETTINGS)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_same_is_false_on_a_disk_that_does_not_flush():
    with pytest.raises((AssertionError, LongtakeError, ExceptionGroup)):
        run_state_machine_as_test(Forgetful, settings=settings(SETTINGS, database=None, phases=[Phase.generate]))
