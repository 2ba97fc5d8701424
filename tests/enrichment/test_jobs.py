"""Jobs: stages and their progress, attempts, limits, cancelling, restarts, and an engine whose store is lost."""

import pytest

from longtake.enrichment.stages import PERCENT, Stage
from longtake.model.errors import JobActive, ProcessingFailed, StorageFull
from longtake.model.lifecycle import JobState
from longtake.model.session import Priority
from longtake.storage.catalog import jobs, sessions, tracks
from tests.enrichment.recording import Recording, cut, running, tone, wait_for, wav


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    with running(tmp_path_factory.mktemp("jobs")) as runtime:
        yield runtime


def ended(runtime, *, seconds=3.0):
    """A session that was just ended."""
    recording = Recording.begin(runtime)
    recording.send_all(cut(tone(seconds), 1.5))
    recording.end()
    return recording


def hold(runtime, session_id):
    """Keep a session's speech from ever being done, as a job sees it: its track vanished from the lanes' view."""
    with runtime.store.db.write() as c:
        for track in sessions.get_session(c, session_id).tracks:
            tracks.update_track(c, track.id, speech_settled=False, speech_engine="whisper:held")


def test_a_job_goes_through_all_stages_with_their_progress(runtime):
    seen = []
    unsubscribe = runtime.store.bus.subscribe(
        lambda e: (
            seen.append((e.payload["stage"], e.payload["substage"], e.payload["progress"]))
            if e.name == "job-progress" and "stage" in e.payload
            else None
        )
    )
    recording = ended(runtime)
    job = recording.finish()
    unsubscribe()
    stages = list(dict.fromkeys(stage for stage, _, _ in seen))
    assert stages == [stage.value for stage in Stage]
    assert all(PERCENT[Stage(stage)][0] <= percent <= PERCENT[Stage(stage)][1] for stage, _, percent in seen)
    assert [percent for _, _, percent in seen] == sorted(percent for _, _, percent in seen)
    skipped = [stage for stage, substage, _ in seen if substage == "skipped"]
    assert skipped == ["video", "speakers", "screenshots"]
    assert ("audio", "completed", 50) in seen
    assert (job.status, job.progress, job.stage, job.attempts) == ("completed", 100, "completed", 1)


def test_the_events_of_a_job_come_in_order(runtime):
    names = []
    unsubscribe = runtime.store.bus.subscribe(lambda e: names.append(e.name) if e.name.startswith("job") else None)
    ended(runtime).finish()
    wait_for(lambda: "job-completed" in names, lambda: names)
    unsubscribe()
    assert names[:2] == ["job-enqueued", "job-started"]
    assert names[-1] == "job-completed"
    assert set(names[2:-1]) == {"job-progress"}


def test_a_session_has_one_active_job(runtime):
    recording = ended(runtime)
    with pytest.raises(JobActive):
        runtime.work.enqueue(recording.id)
    recording.finish()
    again = runtime.work.enqueue(recording.id, priority=Priority.HIGH)
    assert recording.finish().id == again.id


def test_a_job_that_waits_for_a_missing_engine_fails_with_the_remedy(runtime):
    recording = Recording.begin(runtime)
    recording.send(0, wav(tone(2.0)))
    recording.settle()
    hold(runtime, recording.id)
    recording.end()
    job = recording.finish()
    assert (job.status, job.attempts) == (JobState.FAILED, 1)
    assert str(job.error).startswith("engine_unavailable")
    assert "longtake models install" in str(job.error)
    assert recording.session().is_settled


def test_a_limit_below_the_cost_is_not_retried(runtime):
    recording = ended(runtime)
    recording.finish()
    runtime.work.enqueue(recording.id, options={"max_cost_usd": -1})
    job = recording.finish()
    assert (job.status, job.attempts, str(job.error).split(":")[0]) == (JobState.FAILED, 1, "cost_exceeded")


def test_what_a_full_disk_has_failed_is_tried_again_by_the_next_clean_up(runtime):
    refused, faulty = ended(runtime), ended(runtime)
    for recording, error in ((refused, StorageFull("no room")), (faulty, ProcessingFailed("no use"))):
        recording.finish()
        with runtime.store.db.write() as c:
            error_text = f"{error.code}: {error}"
            jobs.update_job(c, recording.job().id, status=JobState.FAILED, error=error_text)
    before = refused.job().id
    runtime.upkeep.clean_up()
    assert refused.job().id != before
    assert (refused.finish().status, faulty.job().status) == (JobState.COMPLETED, JobState.FAILED)
    runtime.upkeep.clean_up()
    assert refused.job().status is JobState.COMPLETED
