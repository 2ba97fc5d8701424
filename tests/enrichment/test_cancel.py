"""A cancelled job ends within half a second, wherever it is, and its old step never overlaps a new job."""

import contextlib
import threading
import time
from typing import Any

import pytest

from longtake.enrichment.stages import Stage
from longtake.model.errors import IllegalTransition
from longtake.model.lifecycle import JobState
from longtake.storage.catalog import sessions, tracks
from tests.enrichment.recording import Recording, cut, running, tone, wait_for

PATIENCE_S = 0.5


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    with running(tmp_path_factory.mktemp("cancel")) as runtime:
        yield runtime


def ended(runtime):
    """A session that was just ended."""
    recording = Recording.begin(runtime)
    recording.send_all(cut(tone(3.0), 1.5))
    recording.end()
    return recording


def done(runtime):
    recording = ended(runtime)
    recording.finish()
    return recording


class Held:
    """Lanes of a kind wait until they are let go."""

    def __init__(self, runtime, kind):
        self.gate = threading.Event()
        self._runs, self._kind, self._run = runtime.lanes._runs, kind, runtime.lanes._runs[kind]

    def __enter__(self):
        self._runs[self._kind] = lambda key: self.gate.wait(60) and self._run(key)
        return self

    def __exit__(self, *_):
        self.gate.set()
        self._runs[self._kind] = self._run


def at(recording, stage):
    wait_for(lambda: recording.job().stage == stage, recording.job)


def cancelled(runtime, recording):
    """Cancel the session's job; returns how long it took until nothing worked for it any more."""
    began = time.monotonic()
    assert runtime.work.cancel(recording.job().id).status is JobState.CANCELLED
    wait_for(lambda: runtime.saga.works_on(recording.id) is None, recording.job)
    took = time.monotonic() - began
    assert recording.job().status is JobState.CANCELLED
    return took


def stays_cancelled(runtime, recording):
    """Whether nothing happens to a cancelled job any more."""
    before = recording.job()
    runtime.store.bus.publish("work", recording.id)
    time.sleep(0.3)
    return recording.job() == before


@pytest.mark.parametrize(("kind", "stage"), [("media", "audio"), ("speech", "transcript")])
def test_a_job_that_waits_for_lanes_ends_within_half_a_second(runtime, kind, stage):
    with Held(runtime, kind):
        recording = ended(runtime)
        at(recording, stage)
        wait_for(lambda: runtime.saga.works_on(recording.id) is not None, recording.job)
        assert cancelled(runtime, recording) < PATIENCE_S
        assert stays_cancelled(runtime, recording)
    assert runtime.work.retry_session(recording.id).job_id is not None
    assert recording.finish().status is JobState.COMPLETED


def test_a_pending_job_is_never_begun(runtime):
    with Held(runtime, "media"):
        running_ones = [ended(runtime) for _ in range(5)]
        wait_for(lambda: runtime.work.queue()[JobState.PROCESSING] == 5, runtime.work.queue)
        sixth = ended(runtime)
        assert sixth.job().status is JobState.PENDING
        assert cancelled(runtime, sixth) < PATIENCE_S
    for recording in running_ones:
        recording.finish()
    assert sixth.job().attempts == 0


def test_a_job_in_back_off_is_not_tried_again(runtime):
    recording = done(runtime)
    run = runtime.saga._stages.run
    tried = []

    def fail(stage, job, progress):
        if job.session_id == recording.id:
            tried.append(job.id)
            raise OSError("a hiccup")
        run(stage, job, progress)

    runtime.saga._stages.run = fail
    try:
        runtime.work.enqueue(recording.id)
        wait_for(lambda: recording.job().attempts == 1 and recording.job().status is JobState.PENDING, recording.job)
        assert cancelled(runtime, recording) < PATIENCE_S
        time.sleep(1.3)
    finally:
        runtime.saga._stages.run = run
    assert len(tried) == 1
    assert (recording.job().status, recording.job().attempts) == (JobState.CANCELLED, 1)


def test_the_old_step_never_overlaps_a_new_job(runtime):
    recording = done(runtime)
    runs = runtime.saga._stages._runs
    chapters = runs[Stage.CHAPTERS]
    spans: list[list[Any]] = []

    def deaf(job, progress):
        """A step that takes a second, whatever happens."""
        began = time.monotonic()
        if not spans:
            spans.append([job.id, began, began])
            time.sleep(1.0)
            spans[0][2] = time.monotonic()
        else:
            spans.append([job.id, began, time.monotonic()])
        chapters(job, progress)

    runs[Stage.CHAPTERS] = deaf
    with runtime.store.db.write() as c:
        c.exec_driver_sql("DELETE FROM outlines")
    seen = []
    unsubscribe = runtime.store.bus.subscribe(
        lambda e: seen.append((e.payload["job_id"], e.payload.get("stage"))) if e.name == "job-progress" else None
    )
    try:
        old = runtime.work.enqueue(recording.id)
        wait_for(lambda: bool(spans), recording.job)
        runtime.work.cancel(old.id)
        new = runtime.work.enqueue(recording.id)
        wait_for(lambda: recording.job().stage == "acquiring-lock", recording.job)
        assert runtime.saga.works_on(recording.id) == old.id
        assert recording.finish().status is JobState.COMPLETED
    finally:
        unsubscribe()
        runs[Stage.CHAPTERS] = chapters
    assert [span[0] for span in spans] == [old.id, new.id]
    assert spans[0][2] <= spans[1][1]
    assert (old.id, "summary") not in seen
    assert runtime.work.get(old.id).status is JobState.CANCELLED


def test_a_job_that_waits_for_the_lock_can_be_cancelled_too(runtime):
    recording = done(runtime)
    with runtime.saga._locks.hold(recording.id, "somebody", lambda: None):
        job = runtime.work.enqueue(recording.id)
        at(recording, "acquiring-lock")
        began = time.monotonic()
        runtime.work.cancel(job.id)
        wait_for(lambda: not running_workflows(runtime), lambda: running_workflows(runtime))
        assert time.monotonic() - began < PATIENCE_S
        assert runtime.saga.works_on(recording.id) == "somebody"
    assert runtime.saga.works_on(recording.id) is None


def running_workflows(runtime):
    return [h for h in runtime.engine._begun if h.get_status().status == "PENDING"]


def test_a_lock_is_released_whatever_becomes_of_a_stage(runtime):
    recording = done(runtime)
    runs = runtime.saga._stages._runs
    audio = runs[Stage.AUDIO]

    def fail(_job, _progress):
        raise OSError("a hiccup")

    runs[Stage.AUDIO] = fail
    try:
        runtime.work.enqueue(recording.id)
        wait_for(lambda: recording.job().error is not None, recording.job)
        wait_for(lambda: runtime.saga.works_on(recording.id) is None, recording.job)
    finally:
        runs[Stage.AUDIO] = audio
    assert recording.finish().status is JobState.COMPLETED
    assert runtime.saga._locks._holders == {}


def test_jobs_can_be_listed_and_cancelled_while_they_come_and_go(runtime):
    recordings = [done(runtime) for _ in range(3)]
    trouble, until = [], time.monotonic() + 3

    def churn(recording):
        try:
            while time.monotonic() < until:
                job = runtime.work.enqueue(recording.id)
                listed, _ = runtime.work.page(session_id=recording.id, limit=3)
                assert listed[0].id == job.id
                with contextlib.suppress(IllegalTransition):  # it was done already
                    assert runtime.work.cancel(job.id).status is JobState.CANCELLED
        except Exception as error:
            trouble.append(error)

    threads = [threading.Thread(target=churn, args=(recording,)) for recording in recordings]
    for thread in threads:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in threads):
        most = max(most, runtime.work.queue().get(JobState.PROCESSING, 0))
        time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert trouble == []
    assert most <= 5
    for recording in recordings:
        runtime.work.enqueue(recording.id)
        assert recording.finish().status is JobState.COMPLETED


def test_nothing_is_left_unsettled(runtime):
    with runtime.store.db.read() as c:
        assert tracks.unsettled_tracks(c, "media") == []
        assert sessions.unsettled_mixes(c) == []
