"""Clocks that jump while jobs and lanes rest: nothing is stuck, nothing is tried in a storm."""

import time

import pytest

from longtake.enrichment.saga import BACK_OFF_MS
from longtake.model.lifecycle import JobState
from longtake.storage.catalog import jobs
from tests.enrichment.recording import Clock, Recording, cut, running, tone, wait_for

HOUR_MS = 3_600_000
JUMPS_MS = {"back an hour": -HOUR_MS, "forward a day": 24 * HOUR_MS}


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def runtime(tmp_path, clock):
    with running(tmp_path, clock=clock) as runtime:
        yield runtime


def ended(runtime):
    recording = Recording.begin(runtime)
    recording.send_all(cut(tone(2.0), 1.0))
    recording.end()
    return recording


class Flaky:
    """Stages of one session fail until they are mended; every attempt is noted."""

    def __init__(self, runtime, recording):
        self.tried = []
        self._stages, self._run, self._id = runtime.saga._stages, runtime.saga._stages.run, recording.id

    def __enter__(self):
        self._stages.run = self._fail
        return self

    def __exit__(self, *_):
        self._stages.run = self._run

    def _fail(self, stage, job, progress):
        if job.session_id != self._id:
            return self._run(stage, job, progress)
        self.tried.append(time.monotonic())
        raise OSError("a hiccup")


def in_back_off(recording, attempts):
    wait_for(lambda: recording.job().attempts == attempts and recording.job().status is not JobState.PROCESSING,
             recording.job)  # fmt: skip


@pytest.mark.parametrize("jump", JUMPS_MS)
def test_a_job_in_back_off_is_tried_again_and_only_as_often_as_it_may(runtime, clock, jump):
    recording = ended(runtime)
    recording.finish()
    with Flaky(runtime, recording) as flaky:
        runtime.work.enqueue(recording.id)
        in_back_off(recording, 1)
        clock.ahead_ms += JUMPS_MS[jump]
        in_back_off(recording, 2)
        clock.ahead_ms += JUMPS_MS[jump]
        in_back_off(recording, 3)
        in_back_off(recording, 4)
    assert len(flaky.tried) == 1 + len(BACK_OFF_MS)
    assert flaky.tried[3] - flaky.tried[2] >= BACK_OFF_MS[2] / 1000 - 0.1  # the clock went on as it should
    assert recording.job().status is JobState.FAILED


@pytest.mark.parametrize("jump", JUMPS_MS)
def test_jobs_that_wait_when_the_clock_jumps_are_done_in_their_order(runtime, clock, jump):
    recordings = [ended(runtime) for _ in range(3)]
    clock.ahead_ms += JUMPS_MS[jump]
    recordings += [ended(runtime) for _ in range(3)]
    for recording in recordings:
        assert recording.finish().status is JobState.COMPLETED
        again = runtime.work.enqueue(recording.id)
        assert recording.job().id == again.id  # the newest, whatever the clock says
        assert recording.finish().status is JobState.COMPLETED


@pytest.mark.parametrize("jump", JUMPS_MS)
def test_a_lane_that_failed_does_not_rest_for_ever(runtime, clock, jump):
    runs, tried = runtime.lanes._runs, []
    media = runs["media"]

    def fail(_key):
        tried.append(time.monotonic())
        raise OSError("a hiccup")

    runs["media"] = fail
    recording = Recording.begin(runtime)
    recording.send_all(cut(tone(2.0), 1.0))
    wait_for(lambda: len(tried) == 1, lambda: tried)
    clock.ahead_ms += JUMPS_MS[jump]
    wait_for(lambda: len(tried) == 2, lambda: tried, 5)
    runs["media"] = media
    time.sleep(0.2)
    assert len(tried) == 2
    recording.end()
    assert recording.finish().status is JobState.COMPLETED


@pytest.mark.parametrize("jump", JUMPS_MS)
def test_a_hole_holds_up_what_is_behind_it_no_longer_than_it_may(runtime, clock, jump):
    bodies = cut(tone(3.0), 1.0)
    recording = Recording.begin(runtime)
    recording.send(0, bodies[0])
    recording.settle()
    recording.send(2, bodies[2])
    clock.ahead_ms += JUMPS_MS[jump]
    wait_for(lambda: recording.segments()[-1].status == "completed", recording.segments, 8)


def test_a_pause_that_was_begun_before_the_clock_was_set_back_is_over(runtime, clock):
    recording = ended(runtime)
    recording.finish()
    with runtime.store.db.write() as c:
        job = runtime.work.enqueue_in(c, recording.id)
        jobs.update_job(c, job.id, not_before_ms=clock() + HOUR_MS)
    began = time.monotonic()
    assert recording.finish().status is JobState.COMPLETED
    assert time.monotonic() - began < 5
