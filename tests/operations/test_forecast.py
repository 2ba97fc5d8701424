"""A recording that does not fit is not begun; how long it can be follows from what it took so far."""

import pytest
from sqlalchemy import update

from longtake.model.errors import StorageFull
from longtake.model.session import TrackKind
from longtake.runtime import Runtime
from longtake.settings import Settings
from longtake.storage.catalog import derived
from longtake.storage.disk import Disk
from longtake.storage.forecast import UNKNOWN_PER_HOUR
from longtake.storage.tables import tracks
from tests.enrichment.recording import RATE_HZ, Recording, tone, wait_for, wav

HOUR_NS = 3_600 * 10**9
SOUND = 2 * 32_000_000  # what is made of a track, and of the mix


class SmallDisk(Disk):
    """Has as much room as a test says."""

    left = 1 << 40

    def free_bytes(self, folder):
        return self.left


@pytest.fixture
def disk():
    return SmallDisk()


@pytest.fixture
def runtime(tmp_path, disk):
    said = {"data": tmp_path / "data", "engine": "none", "min_free_bytes": 1_000, "min_recording_minutes": 10}
    settings = Settings.model_validate(said)
    with Runtime.open(settings, with_engine=False, disk=disk) as runtime:
        yield runtime


def learn(runtime, track_id, size_bytes, length_ns):
    with runtime.store.db.write() as c:
        c.execute(update(tracks).where(tracks.c.id == track_id).values(size_bytes=size_bytes, length_ns=length_ns))


def test_what_is_not_known_yet_is_taken_as_uncompressed(runtime, disk):
    recording = Recording.begin(runtime, TrackKind.MICROPHONE)
    assert runtime.room.check(recording.id).forecast.bytes_per_hour == UNKNOWN_PER_HOUR[TrackKind.MICROPHONE] + SOUND


def test_what_a_track_took_so_far_is_what_it_will_take(runtime, disk):
    recording = Recording.begin(runtime, TrackKind.MICROPHONE)
    learn(runtime, recording.tracks[0], 5_000_000, HOUR_NS // 60)
    disk.left = 1_000 + 2 * (60 * 5_000_000 + SOUND)
    found = runtime.room.check(recording.id).forecast
    assert (found.bytes_per_hour, found.hours_left) == (60 * 5_000_000 + SOUND, 2)
    assert runtime.room.now() == found


def test_a_new_track_takes_what_its_kind_took_lately(runtime, disk):
    old = Recording.begin(runtime, TrackKind.SCREEN)
    learn(runtime, old.tracks[0], 900, HOUR_NS)
    old.end()
    new = Recording.begin(runtime, TrackKind.SCREEN)
    assert runtime.room.check(new.id).forecast.bytes_per_hour == 900


def test_recordings_that_were_deleted_say_nothing_of_what_one_takes(runtime, disk):
    old = Recording.begin(runtime, TrackKind.SCREEN, TrackKind.SCREEN)
    for track_id, size_bytes in zip(old.tracks, (900, 0), strict=True):
        learn(runtime, track_id, size_bytes, HOUR_NS)
    old.end()
    new = Recording.begin(runtime, TrackKind.SCREEN)
    assert runtime.room.check(new.id).forecast.bytes_per_hour == 900


def test_one_that_does_not_fit_is_refused_and_nothing_is_begun(runtime, disk):
    recording = Recording.begin(runtime)
    per_minute = runtime.room.check(recording.id).forecast.bytes_per_hour / 60
    disk.left = 1_000 + int(10.1 * per_minute)
    assert runtime.room.check(recording.id).warning == "the disk has room for 10 of 60 minutes"
    disk.left = 1_000 + int(9.9 * per_minute)
    with pytest.raises(StorageFull) as refused:
        runtime.room.check(recording.id)
    assert refused.value.fields["minutes_left"] == 9.9
    disk.left = 0
    with pytest.raises(StorageFull):
        runtime.room.check(recording.id)


def test_what_was_announced_is_what_is_expected(runtime, disk):
    recording = Recording.begin(runtime)
    with runtime.store.db.write() as c:
        c.execute(update(tracks).values(expected_ms=3 * 3_600_000))
    disk.left = 1_000 + 2 * runtime.room.check(recording.id).forecast.bytes_per_hour
    assert runtime.room.check(recording.id).warning == "the disk has room for 120 of 180 minutes"
    disk.left *= 2
    assert runtime.room.check(recording.id).warning is None


def test_what_can_be_made_again_leaves_the_room_that_deleting_needs(tmp_path, disk):
    settings = Settings.model_validate({"data": tmp_path / "full", "engine": "none", "min_free_bytes": 1 << 20})
    with Runtime.open(settings, disk=disk) as runtime:
        recording = Recording.begin(runtime)
        recording.send(0, wav(tone(12)))
        disk.left = 1 << 19  # somebody else has taken the rest
        wait_for(lambda: runtime.lanes.failed_runs["media"] > 0, recording.session)
        with runtime.store.db.read() as c:
            assert derived.block_keys(c, recording.tracks[0], 0, 10) == {}
        other = Recording.begin(runtime)
        runtime.deletion.purge(other.id)
        disk.left = 1 << 40
        recording.end()
        recording.finish()
        assert len(recording.pcm()) == 12 * RATE_HZ
