"""A segment that failed because its stored bytes were lost is processed by itself as soon as they are whole again."""

import numpy as np
import pytest

from longtake.model.coverage import Cause
from longtake.model.session import ProcessingStatus, SegmentStatus
from longtake.runtime import new_id, now_ms
from longtake.storage import watermark
from longtake.storage.blobs import LocalBlobs
from longtake.storage.catalog import blobs
from longtake.storage.database import Database
from longtake.storage.disk import Disk
from longtake.storage.verify.repair import repair
from longtake.storage.verify.run import verify
from tests.enrichment.recording import Recording, cut, reference_counts_are_exact, running, tone, wait_for
from tests.ingest.test_lost import HARM, spoil

SOUND = tone(9.0)
BODIES = cut(SOUND, 3.0)  # each a file of its own
SMALL = cut(SOUND[: len(SOUND) // 3], 1.0)  # in a pack


@pytest.fixture(params=["in a pack", "a file"])
def spoilt(request, tmp_path):
    """A data folder, its recording, and the bodies that were sent; of those stored of segment 1 a bit has flipped."""
    bodies = SMALL if request.param == "in a pack" else BODIES
    with running(tmp_path / "data", with_engine=False) as runtime:
        recording = Recording.begin(runtime)
        recording.send_all(bodies)
        recording.end()
        with runtime.store.db.read() as c:
            at = blobs.get_locator(c, recording.segments()[1].sha256)
    spoil(tmp_path / "data" / at.store / at.key, at.offset + 100)
    return tmp_path / "data", recording, bodies


def failed(runtime, recording):
    """The recording in this runtime, when its job has ended with one segment lost."""
    here = Recording(runtime, recording.id, recording.tracks)
    here.finish()
    assert [segment.status for segment in here.segments()] == ["completed", "failed", "completed"]
    assert here.session().processing is ProcessingStatus.COMPLETED_WITH_ERRORS
    return here


def mended(data):
    """What a repair found."""
    db, stored = Database(data / "longtake.db"), LocalBlobs(data, Disk(), new_id)
    watermark.attach(db, stored)
    found = verify(data, db, now_ms=now_ms)
    repair(db, stored, found, now_ms=now_ms, new_id=new_id)
    stored.close()
    db.close()
    return found


def check_whole(here):
    """All of it was processed, and is heard."""
    wait_for(lambda: here.session().processing is ProcessingStatus.COMPLETED, here.session)
    wait_for(lambda: here.finish().status == "completed", here.job)
    here.settle()
    pcm = here.pcm()
    assert len(pcm) in (len(SOUND), len(SOUND) // 3)
    assert np.array_equal(pcm, SOUND[: len(pcm)])
    assert reference_counts_are_exact(here.runtime)


def test_whoever_sends_it_again_has_it_processed(spoilt):
    data, recording, bodies = spoilt
    with running(data) as runtime:
        here = failed(runtime, recording)
        before = here.job().id
        receipt = here.send(1, bodies[1])
        assert (receipt.is_new, receipt.status) == (False, SegmentStatus.PENDING)
        check_whole(here)
        assert here.job().id != before
        assert not here.send(1, bodies[1]).is_new
        assert here.session().is_settled, "sent again, whole bytes are processed again"


def test_whoever_sends_the_same_bytes_elsewhere_has_it_processed_too(spoilt):
    data, recording, bodies = spoilt
    with running(data) as runtime:
        here = failed(runtime, recording)
        other = Recording.begin(runtime)
        other.send(0, bodies[1])
        other.end()
        other.finish()
        assert other.session().processing is ProcessingStatus.COMPLETED
        check_whole(here)


def test_one_that_is_being_recorded_is_processed_and_its_session_stays_as_it_is(tmp_path):
    with running(tmp_path / "data", with_engine=False) as runtime:
        recording = Recording.begin(runtime)
        recording.send(0, SMALL[0])
    spoil(next((tmp_path / "data" / "packs").iterdir()), -100)
    with running(tmp_path / "data") as runtime:
        here = Recording(runtime, recording.id, recording.tracks)
        wait_for(lambda: here.segments()[0].status == "failed", here.segments)
        before = here.session()
        here.send(0, SMALL[0])
        wait_for(lambda: here.segments()[0].status == "completed", here.segments)
        after = here.session()
        assert (after.state, after.last_activity_at_ms, after.job) == (before.state, before.last_activity_at_ms, None)


def test_a_repair_has_it_processed(tmp_path):
    data = tmp_path / "data"
    with running(data, with_engine=False) as runtime:
        recording = Recording.begin(runtime)
        recording.send_all(SMALL)
        recording.end()
        lost = recording.segments()[1].sha256
        with runtime.store.db.read() as c:
            at = blobs.get_locator(c, lost)
    spoil(data / at.store / at.key, at.offset + 100)
    with running(data) as runtime:
        failed(runtime, recording)
    (data / "files" / lost).write_bytes(SMALL[1])
    found = mended(data)
    assert (len(found.damaged), found.left) == (1, 0)
    with running(data) as runtime:
        check_whole(Recording(runtime, recording.id, recording.tracks))


@pytest.mark.parametrize("harm", ["gone", "spoilt"])
def test_of_lost_bytes_whose_blocks_are_lost_too_the_rest_is_heard_and_told(tmp_path, harm):
    data = tmp_path / "data"
    with running(data) as runtime:
        recording = Recording.begin(runtime)
        for index, body in enumerate(BODIES):
            recording.send(index, body, start_ms=3000 * index, duration_ms=3000)
        recording.end()
        recording.finish()
        lost = recording.segments()[1].sha256
    HARM[harm](data / "files" / lost, 0)
    for pack in (data / "derived").iterdir():
        pack.unlink()
    mended(data)
    with running(data) as runtime:
        here = Recording(runtime, recording.id, recording.tracks)
        wait_for(lambda: here.segments()[1].status == "failed", here.segments)
        here.settle()
        assert [segment.status for segment in here.segments()] == ["completed", "failed", "completed"]
        [found] = runtime.sessions.coverage(recording.id)
        assert [(gap.start_ms, gap.end_ms, gap.cause) for gap in found.coverage.gaps] == [(3000, 6000, Cause.FAILED)]
        third = len(SOUND) // 3
        assert np.array_equal(here.pcm()[:third], SOUND[:third])
        assert not here.pcm()[third : 2 * third].any()
        assert np.array_equal(here.pcm()[2 * third :], SOUND[2 * third :])
        here.send(1, BODIES[1])
        check_whole(here)
