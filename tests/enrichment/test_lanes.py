"""What lanes do with what is out of the ordinary: damage, gaps, other channels, a new balance, a laggard."""

import numpy as np
import pytest

from longtake.model.coverage import Cause
from longtake.model.errors import NotFound
from longtake.model.session import LaneStatus, ProcessingStatus, SegmentStatus, TrackKind
from longtake.sessions.manager import NewSession
from longtake.storage.catalog import blobs
from tests.enrichment.recording import (
    GARBAGE,
    RATE_HZ,
    Clock,
    Recording,
    cut,
    reference_counts_are_exact,
    running,
    tone,
    wait_for,
    wav,
)

BOTH = (TrackKind.MICROPHONE, TrackKind.SYSTEM)


@pytest.fixture(scope="module")
def clock():
    return Clock()


@pytest.fixture(scope="module")
def runtime(tmp_path_factory, clock):
    with running(tmp_path_factory.mktemp("lanes"), clock=clock) as runtime:
        yield runtime
        assert reference_counts_are_exact(runtime)


def finished(runtime, bodies, *kinds, announced_ms=None):
    """A session with a track of these segments, ended and enriched."""
    recording = Recording.begin(runtime, *kinds)
    for index, body in enumerate(bodies):
        recording.send(index, body, duration_ms=announced_ms)
    recording.end()
    recording.finish()
    return recording


def test_a_segment_that_does_not_decode_is_kept_and_the_others_go_on(runtime):
    first, _, third = cut(tone(6.0), 2.0)
    recording = finished(runtime, [first, GARBAGE, third], announced_ms=2000)
    failed = recording.segments()[1]
    assert (failed.status, failed.error_code) == (SegmentStatus.FAILED, "media_damaged")
    assert recording.job().status == "completed"
    assert recording.session().processing is ProcessingStatus.COMPLETED_WITH_ERRORS
    assert runtime.attachments.open_segment(recording.id, recording.tracks[0], 1).read(0, 9999) == GARBAGE
    pcm = recording.pcm()
    assert np.array_equal(pcm[:96_000], tone(6.0)[:96_000])
    assert not pcm[96_000 : 2 * 96_000].any()
    assert np.array_equal(pcm[2 * 96_000 :], tone(6.0)[2 * 96_000 :])
    [found] = runtime.sessions.coverage(recording.id)
    assert [(gap.start_ms, gap.end_ms, gap.cause) for gap in found.coverage.gaps] == [(2000, 4000, Cause.FAILED)]


def test_a_session_of_which_nothing_decodes_has_failed(runtime):
    recording = finished(runtime, [GARBAGE, GARBAGE + b"?"])
    assert recording.session().processing is ProcessingStatus.FAILED
    assert recording.job().status == "completed"
    with pytest.raises(NotFound):
        recording.pcm()


def test_a_failed_segment_can_be_retried(runtime):
    recording = finished(runtime, [wav(tone(2.0)), GARBAGE])
    before = recording.job()
    retried = runtime.work.retry_session(recording.id)
    assert retried.segments == 1
    assert recording.session().processing in (ProcessingStatus.PENDING, ProcessingStatus.PROCESSING)
    assert recording.finish().id == retried.job_id != before.id
    assert recording.segments()[1].status is SegmentStatus.FAILED


def test_a_segment_whose_bytes_were_lost_is_retried_and_then_fails_alone(runtime):
    recording = Recording.begin(runtime)
    recording.send(0, wav(tone(2.0, hz=222)))
    recording.settle()
    with runtime.store.db.write() as c:
        digest = recording.segments()[0].sha256
        at = blobs.get_locator(c, digest)
        c.exec_driver_sql("UPDATE blobs SET key = '99999999.pack' WHERE sha256 = ?", (digest,))
    runtime.work.retry_segment(recording.id, recording.tracks[0], 0)
    recording.send(1, wav(tone(2.0, hz=233)))
    recording.end()
    recording.finish()
    lost, kept = recording.segments()
    assert (lost.status, lost.attempts) == (SegmentStatus.FAILED, 4)
    assert kept.status is SegmentStatus.COMPLETED
    with runtime.store.db.write() as c:
        c.exec_driver_sql("UPDATE blobs SET key = ? WHERE sha256 = ?", (at.key, digest))
    runtime.work.retry_session(recording.id)
    recording.finish()
    assert recording.session().processing is ProcessingStatus.COMPLETED
    assert len(recording.pcm()) == 4 * RATE_HZ


def test_bytes_that_changed_on_the_disk_are_not_taken_for_sound(runtime):
    recording = Recording.begin(runtime)
    recording.send(0, wav(tone(2.0, hz=311)))
    recording.settle()
    with runtime.store.db.read() as c:
        at = blobs.get_locator(c, recording.segments()[0].sha256)
    path = runtime.store.blobs.path(at)
    with path.open("r+b") as file:
        file.seek(at.offset + 1000)
        file.write(b"\x55\xaa")
    runtime.work.retry_segment(recording.id, recording.tracks[0], 0)
    recording.end()
    recording.finish()
    assert recording.segments()[0].error_detail == "the stored bytes are not those that were acknowledged"


def test_a_gap_that_the_recorder_left_is_silence(runtime):
    recording = Recording.begin(runtime)
    recording.send(0, wav(tone(2.0)), start_ms=0)
    recording.send(1, wav(tone(2.0)), start_ms=5000)
    recording.end()
    recording.finish()
    pcm = recording.pcm()
    assert len(pcm) == 7 * RATE_HZ
    assert not pcm[2 * RATE_HZ : 5 * RATE_HZ].any()
    assert np.array_equal(pcm[5 * RATE_HZ :], tone(2.0))
    [found] = runtime.sessions.coverage(recording.id)
    assert [(gap.start_ms, gap.end_ms, gap.cause) for gap in found.coverage.gaps] == [(2000, 5000, Cause.NOT_RECORDED)]


def test_a_pause_takes_no_media_time(runtime):
    recording = Recording.begin(runtime)
    recording.send(0, wav(tone(2.0)), start_ms=0, duration_ms=2000)
    runtime.lifecycle.pause(recording.id)
    runtime.lifecycle.resume(recording.id)
    recording.send(1, wav(tone(2.0)), start_ms=2000, duration_ms=2000)
    recording.end()
    recording.finish()
    assert len(recording.pcm()) == 4 * RATE_HZ
    assert runtime.sessions.coverage(recording.id)[0].coverage.is_whole


def test_a_stereo_segment_makes_the_track_stereo_from_its_start(runtime):
    recording = Recording.begin(runtime)
    bodies = [wav(tone(12.0)), wav(tone(4.0, channels=2))]
    recording.send(0, bodies[0])
    recording.settle()
    mono = recording.digests()
    recording.send(1, bodies[1])
    recording.end()
    recording.finish()
    at_once = finished(runtime, bodies)
    assert recording.pcm().shape == (16 * RATE_HZ, 2)
    assert recording.digests()[0] != mono[0]
    assert recording.digests() == at_once.digests()


def test_a_balance_that_is_changed_while_recording_touches_only_what_follows(runtime):
    recording = Recording.begin(runtime, *BOTH)
    for track in (0, 1):
        recording.send(0, wav(tone(35.0, hz=300 + 100 * track)), track=track)
    recording.settle()
    before = recording.blocks()
    assert len(before) == 3
    runtime.sessions.set_balance(recording.id, 0.0)
    for track in (0, 1):
        recording.send(1, wav(tone(5.0, hz=350 + 100 * track)), track=track)
    recording.end()
    recording.finish()
    assert recording.blocks()[:3] == before
    assert np.array_equal(recording.pcm()[36 * RATE_HZ :], tone(5.0, hz=350)[RATE_HZ:])


def test_a_balance_that_is_changed_afterwards_makes_the_mix_anew_as_a_job(runtime):
    recording = Recording.begin(runtime, *BOTH)
    for track in (0, 1):
        recording.send(0, wav(tone(12.0, hz=300 + 100 * track)), track=track)
    recording.end()
    first = recording.finish()
    tracks = [recording.blocks(track) for track in recording.tracks]
    mixed = recording.digests()
    runtime.sessions.set_balance(recording.id, 1.0)
    assert recording.finish().id != first.id
    assert recording.digests() != mixed
    assert np.array_equal(recording.pcm(), tone(12.0, hz=400))
    assert [recording.blocks(track) for track in recording.tracks] == tracks
    runtime.sessions.set_balance(recording.id, 0.5)
    recording.finish()
    assert recording.digests() == mixed


def test_one_track_is_as_loud_in_its_file_as_the_balance_says(runtime):
    recording = finished(runtime, [wav(tone(3.0))])
    runtime.sessions.set_balance(recording.id, 1.0)
    recording.finish()
    assert not recording.pcm().any()
    assert recording.digests() != recording.digests(recording.tracks[0])


def test_a_track_that_lags_far_behind_does_not_hold_up_the_mix(runtime):
    recording = Recording.begin(runtime, *BOTH)
    recording.send(0, wav(tone(5.0)), track=1)
    recording.send(0, wav(tone(60.0)), track=0)
    recording.settle()
    assert len(recording.blocks()) == 2
    recording.send(1, wav(tone(55.0)), track=1)
    recording.end()
    recording.finish()
    assert len(recording.blocks()) == 6
    assert len(recording.pcm()) == 60 * RATE_HZ


def test_a_session_without_tracks_is_complete_when_it_ends(runtime):
    session = runtime.sessions.create(NewSession(title="nothing"))
    runtime.lifecycle.start(session.id)
    ended = runtime.lifecycle.end(session.id)
    assert (ended.processing, ended.job) == (ProcessingStatus.COMPLETED, None)


def test_a_session_without_segments_is_complete_when_its_job_is(runtime):
    recording = finished(runtime, [])
    assert recording.job().status == "completed"
    assert recording.session().processing is ProcessingStatus.COMPLETED


def test_a_late_segment_reopens_processing(runtime):
    recording = finished(runtime, [wav(tone(2.0))])
    heard = []
    unsubscribe = runtime.store.bus.subscribe(lambda event: heard.append((event.session_id, event.name)))
    before = recording.session()
    recording.send(1, wav(tone(2.0)))
    after = recording.session()
    assert after.job.id != before.job.id
    recording.finish()
    wait_for(lambda: (recording.id, "job-enqueued") in heard, lambda: heard)
    unsubscribe()
    assert len(recording.pcm()) == 4 * RATE_HZ


def test_every_segment_knows_its_levels(runtime):
    recording = finished(runtime, [wav(tone(2.0)), wav(np.zeros((2 * RATE_HZ, 1), np.int16))])
    loud, silent = recording.segments()
    assert (loud.is_silent, silent.is_silent) == (False, True)
    assert loud.noise_dbfs > silent.noise_dbfs
    assert (loud.samples, loud.channels, loud.place.rate_hz) == (96_000, 1, RATE_HZ)
    assert {loud.media, loud.speech, silent.media, silent.speech} == {LaneStatus.DONE}
