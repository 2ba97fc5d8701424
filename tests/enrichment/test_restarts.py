"""Jobs across limits, failures and restarts, each with a runtime of its own."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from longtake.enrichment.saga import BACK_OFF_MS
from longtake.model.errors import IllegalTransition, StorageFull
from longtake.model.lifecycle import JobState
from longtake.model.session import Priority, TrackKind
from longtake.runtime import Runtime
from longtake.sessions.manager import NewSession, NewTrack
from longtake.settings import Settings
from longtake.storage.catalog import jobs
from tests.enrichment.recording import Clock, Recording, cut, running, tone, wait_for


def ended(runtime, *, seconds=3.0):
    """A session that was just ended."""
    recording = Recording.begin(runtime)
    recording.send_all(cut(tone(seconds), 1.5))
    recording.end()
    return recording


def test_a_pending_job_can_be_cancelled(tmp_path):
    with running(tmp_path, with_engine=False) as runtime:
        recording = ended(runtime)
        assert runtime.work.cancel(recording.job().id).status is JobState.CANCELLED
        with pytest.raises(IllegalTransition):
            runtime.work.cancel(recording.job().id)
    with running(tmp_path) as runtime:
        recording.runtime = runtime
        recording.settle()
        assert recording.job().status is JobState.CANCELLED


def held_jobs(runtime, count):
    """Sessions whose jobs wait: their media lane fails until it is mended."""
    recordings = []
    for _ in range(count):
        session = runtime.sessions.create(NewSession(title="held"))
        recording = Recording(runtime, session.id)
        recording.tracks.append(runtime.sessions.declare_track(session.id, NewTrack(kind=TrackKind.UPLOAD)).id)
        runtime.lifecycle.start(session.id)
        recordings.append(recording)
    return recordings


class Blocked:
    """A runtime whose media lanes wait until they are let go."""

    def __init__(self, runtime):
        self.gate = threading.Event()
        self._runs = runtime.lanes._runs
        self._media = self._runs["media"]
        self._runs["media"] = self._run

    def _run(self, track_id):
        self.gate.wait(60)
        return self._media(track_id)


def test_five_jobs_run_at_once_and_a_running_one_can_be_cancelled(tmp_path):
    with running(tmp_path) as runtime:
        blocked = Blocked(runtime)
        recordings = held_jobs(runtime, 7)
        for recording in recordings:
            recording.end()
        wait_for(lambda: runtime.work.queue().get(JobState.PROCESSING) == 5, runtime.work.queue)
        assert runtime.work.queue()[JobState.PENDING] == 2
        first = next(r for r in recordings if r.job().status is JobState.PROCESSING)
        runtime.work.cancel(first.job().id)
        wait_for(lambda: runtime.work.queue().get(JobState.PENDING) == 1, runtime.work.queue)
        blocked.gate.set()
        for recording in recordings:
            recording.finish()
        assert runtime.work.queue() == {JobState.COMPLETED: 6, JobState.CANCELLED: 1}


def test_high_priority_goes_first(tmp_path):
    with running(tmp_path, with_engine=False) as runtime:
        recordings = held_jobs(runtime, 3)
        for recording, priority in zip(recordings, (Priority.LOW, Priority.NORMAL, Priority.HIGH), strict=True):
            runtime.work.enqueue(recording.id, priority=priority)
        with runtime.store.db.read() as c:
            order = [job.session_id for job in jobs.due_jobs(c, runtime.store.now_ms(), max(BACK_OFF_MS), 5)]
        assert order == [recording.id for recording in reversed(recordings)]


def test_jobs_are_begun_by_priority_then_age_one_after_another(tmp_path):
    with running(tmp_path, with_engine=False) as runtime:
        recordings = held_jobs(runtime, 6)
        priorities = (Priority.LOW, Priority.NORMAL, Priority.HIGH, Priority.LOW, Priority.HIGH, Priority.NORMAL)
        for recording, priority in zip(recordings, priorities, strict=True):
            recording.end()
            runtime.work.cancel(recording.job().id)
            runtime.work.enqueue(recording.id, priority=priority)
    with running(tmp_path, job_workers=1) as runtime:
        for recording in recordings:
            recording.runtime = runtime
            assert recording.finish().status is JobState.COMPLETED
        begun = sorted(recordings, key=lambda recording: recording.job().started_at_ms)
        assert begun == [recordings[number] for number in (2, 4, 1, 5, 0, 3)]


def test_a_store_that_refuses_to_note_a_failure_leaves_no_job_running_for_ever(tmp_path):
    with running(tmp_path) as runtime:
        recording = ended(runtime)
        recording.finish()
        run = runtime.saga._note_failure
        refused: list[object] = []

        def refuse_once(*arguments, **named):
            if not refused:
                refused.append(arguments)
                raise StorageFull("the database said: disk is full")
            return run(*arguments, **named)

        stages_run = runtime.saga._stages.run
        runtime.saga._note_failure = refuse_once  # type: ignore[method-assign]
        runtime.saga._stages.run = lambda *_: (_ for _ in ()).throw(StorageFull("disk is full"))  # type: ignore[method-assign]
        runtime.work.enqueue(recording.id)
        attempted(recording, 1)
        runtime.saga._stages.run = stages_run  # type: ignore[method-assign]
        assert recording.finish().status is JobState.COMPLETED
        assert refused


def break_checkpoints(connection):
    connection.execute("DROP TABLE operation_outputs")


def break_everything(connection):
    connection.execute("DROP TABLE operation_outputs")
    connection.execute("DROP TABLE workflow_status")


@pytest.mark.parametrize("break_store", [break_checkpoints, break_everything])
def test_a_store_that_breaks_while_it_is_used_is_done_without(tmp_path, break_store):
    with capture_logs() as logs, running(tmp_path) as runtime:
        blocked = Blocked(runtime)
        recording = ended(runtime)
        wait_for(lambda: recording.job().stage == "audio", recording.job)
        with closing(sqlite3.connect(tmp_path / "engine.db")) as connection:
            break_store(connection)
            connection.commit()
        blocked.gate.set()
        job = recording.finish()  # the engine gave it up once
        assert (job.status, job.attempts) == (JobState.COMPLETED, 2)
        assert ended(runtime).finish().status is JobState.COMPLETED
        assert [one["until"] for one in logs if one["event"] == "engine_store_damaged"] == ["the next start"]
    with running(tmp_path) as runtime:
        assert ended(runtime).finish().status is JobState.COMPLETED


def attempted(recording, count):
    """Wait until so many attempts have ended."""
    wait_for(lambda: recording.job().attempts == count and recording.job().status != "processing", recording.job)


def test_attempts_are_made_after_one_two_and_four_seconds(tmp_path):
    clock = Clock()
    waits = []
    with running(tmp_path, clock=clock) as runtime:

        def fail(_stage, _job, _progress):
            raise OSError("a hiccup")

        runtime.saga._stages.run = fail  # type: ignore[method-assign]
        recording = ended(runtime)
        for attempt in range(1, 5):
            attempted(recording, attempt)
            job = recording.job()
            waits.append(job.not_before_ms)
            if attempt < 4:
                assert (job.status, job.error) == (JobState.PENDING, "OSError: a hiccup")
                assert 0 < job.not_before_ms - clock() <= BACK_OFF_MS[attempt - 1]
                clock.ahead_ms += BACK_OFF_MS[attempt - 1]
        assert (recording.job().status, recording.job().attempts) == (JobState.FAILED, 4)


def test_a_crash_counts_as_an_attempt_and_finished_stages_stay(tmp_path):
    with running(tmp_path, with_engine=False) as runtime:
        recording = ended(runtime)
        job = recording.job()
        with runtime.store.db.write() as c:  # as a process leaves it that is killed within a stage
            jobs.move_job(c, job.id, JobState.PENDING, JobState.PROCESSING, attempts=1, claims=1)
            jobs.update_job(c, job.id, done=["validating", "estimating"], stage="acquiring-lock")
    with running(tmp_path) as runtime:
        recording.runtime = runtime
        after = recording.job()
        assert after.attempts == 1
        assert after.error == "the process ended while it ran"
        job = recording.finish()
        assert (job.status, job.attempts, job.claims) == (JobState.COMPLETED, 2, 2)


def test_the_fourth_crash_ends_a_job(tmp_path):
    with running(tmp_path, with_engine=False) as runtime:
        recording = ended(runtime)
        with runtime.store.db.write() as c:
            jobs.move_job(c, recording.job().id, JobState.PENDING, JobState.PROCESSING, attempts=4, claims=4)
    with running(tmp_path) as runtime:
        recording.runtime = runtime
        assert recording.job().status is JobState.FAILED
        recording.settle()
        runtime.work.retry_session(recording.id)
        assert recording.finish().status is JobState.COMPLETED


def test_ending_the_process_costs_a_job_no_attempt(tmp_path):
    with running(tmp_path) as runtime:
        blocked = Blocked(runtime)
        recording = ended(runtime)
        wait_for(lambda: recording.job().stage == "audio", recording.job)
        threading.Timer(0.2, blocked.gate.set).start()
    with running(tmp_path) as runtime:
        recording.runtime = runtime
        job = recording.finish()
        assert (job.status, job.attempts, job.claims) == (JobState.COMPLETED, 1, 2)


def damage_with_garbage(path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)


def damage_by_cutting(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def damage_by_emptying(path: Path) -> None:
    path.write_bytes(b"")


def damage_by_removing(path: Path) -> None:
    path.unlink()


def damage_in_the_middle(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096 : len(data) - 4096] = b"\xff" * (len(data) - 8192)
    path.write_bytes(data)


def damage_by_another_program(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE workflow_status (something INTEGER)")
        connection.commit()


@pytest.mark.parametrize(
    "damage",
    [
        damage_by_another_program,
        damage_with_garbage,
        damage_by_cutting,
        damage_by_emptying,
        damage_by_removing,
        damage_in_the_middle,
    ],
)
def test_work_is_done_although_the_engine_lost_its_store(tmp_path, damage):
    with running(tmp_path) as runtime:
        ended(runtime).finish()
        blocked = Blocked(runtime)
        recording = ended(runtime)
        wait_for(lambda: recording.job().stage == "audio", recording.job)
        threading.Timer(0.2, blocked.gate.set).start()
    damage(tmp_path / "engine.db")
    with capture_logs() as logs, running(tmp_path) as runtime:
        recording.runtime = runtime
        assert recording.finish().status is JobState.COMPLETED
        assert ended(runtime).finish().status is JobState.COMPLETED
    said = [one["moved_to"] for one in logs if one["event"] == "engine_store_damaged"]
    is_gone = damage in (damage_by_emptying, damage_by_removing)  # SQLite takes nothing for an empty database
    assert said == ([] if is_gone else [str(tmp_path / "engine.db.damaged")])
    assert (tmp_path / "engine.db.damaged").exists() == (not is_gone)


def test_the_engine_keeps_nothing_of_finished_jobs(tmp_path):
    with running(tmp_path) as runtime:
        for _ in range(3):
            ended(runtime).finish()
    with closing(sqlite3.connect(tmp_path / "engine.db")) as connection:
        assert connection.execute("SELECT count(*) FROM workflow_status").fetchone() == (0,)


def test_what_was_begun_is_undone_when_opening_fails(tmp_path):
    before = threading.active_count()
    (tmp_path / "packs").write_text("a file where a folder should be")
    with pytest.raises(OSError, match="packs"):
        Runtime.open(Settings.model_validate({"data": tmp_path}))
    assert threading.active_count() == before
    (tmp_path / "packs").unlink()
    with running(tmp_path) as runtime:
        assert ended(runtime).finish().status is JobState.COMPLETED


def test_a_second_engine_in_the_process_is_refused(tmp_path):
    with (
        running(tmp_path / "one") as runtime,
        pytest.raises(RuntimeError, match="one runtime"),
        running(tmp_path / "two"),
    ):
        pass
    with running(tmp_path / "two") as runtime:
        assert ended(runtime).finish().status is JobState.COMPLETED
