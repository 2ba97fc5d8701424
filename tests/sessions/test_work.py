"""Jobs and retries as rows: what reopens work, and that it is asked for once."""

from dataclasses import replace

import pytest

from longtake.model.errors import EngineError, IllegalTransition, JobActive, NotFound, Trashed
from longtake.model.lifecycle import JobState
from longtake.model.session import (
    Counts,
    LaneStatus,
    Mode,
    ProcessingStatus,
    SegmentStatus,
    TrackKind,
    processing_status,
    speaker_of,
)
from longtake.sessions.manager import NewSession, NewTrack
from longtake.storage.catalog import blobs, jobs, segments, sessions, tracks
from tests.enrichment.recording import Recording, reference_counts_are_exact, tone, wav


def all_done(runtime, recording, *, failed=()):
    """Note the work as done, as lanes and saga would, with some segments failed."""
    with runtime.store.db.write() as c:
        for segment in segments.segments_of(c, recording.tracks[0]):
            media = LaneStatus.FAILED if segment.index in failed else LaneStatus.DONE
            segments.update_segment(c, segment, media=media, speech=LaneStatus.DONE)
        tracks.update_track(c, recording.tracks[0], media_settled=True, speech_settled=True)
        active = jobs.active_job(c, recording.id)
        if active is not None:
            jobs.update_job(c, active.id, status=JobState.COMPLETED, finished_at_ms=1)


@pytest.fixture
def done(runtime, recording):
    """A session of three segments that was ended and enriched; the middle one failed."""
    runtime.lifecycle.start(recording.id)
    for index in range(3):
        recording.send(index, wav(tone(0.1, hz=300 + index)))
    runtime.lifecycle.end(recording.id)
    all_done(runtime, recording, failed=[1])
    assert recording.session().processing is ProcessingStatus.COMPLETED_WITH_ERRORS
    return recording


def test_a_late_segment_reopens_processing_in_the_transaction_that_stores_it(runtime, done):
    before = done.session()
    done.send(3, wav(tone(0.1, hz=400)))
    after = done.session()
    assert after.processing is ProcessingStatus.PENDING
    assert (after.job.status, after.job.id == before.job.id) == (JobState.PENDING, False)
    assert not after.tracks[0].media_settled
    assert not after.mix_settled


def test_a_segment_that_was_there_already_reopens_nothing(runtime, done):
    before = done.session()
    assert not done.send(2, wav(tone(0.1, hz=302))).is_new
    assert done.session() == before


def test_retrying_a_session_reopens_its_failed_segments_and_its_job(runtime, done):
    retried = runtime.work.retry_session(done.id)
    assert (retried.segments, retried.job_id) == (1, done.job().id)
    session = done.session()
    assert session.processing is ProcessingStatus.PENDING
    assert (session.counts.pending, session.counts.failed, session.counts.completed) == (1, 0, 2)
    assert reference_counts_are_exact(runtime)


def test_retrying_a_segment_reopens_that_one_whatever_its_status(runtime, done):
    runtime.work.retry_segment(done.id, done.tracks[0], 0)
    assert [one.status for one in done.segments()] == [
        SegmentStatus.PENDING,
        SegmentStatus.FAILED,
        SegmentStatus.COMPLETED,
    ]
    assert done.segments()[0].attempts == 0
    with pytest.raises(NotFound):
        runtime.work.retry_segment(done.id, done.tracks[0], 99)
    with pytest.raises(NotFound):
        runtime.work.retry_segment(done.id, "nobody", 0)


def test_retrying_twice_asks_for_one_job(runtime, done):
    assert runtime.work.retry_session(done.id).job_id == runtime.work.retry_session(done.id).job_id
    with pytest.raises(JobActive) as refused:
        runtime.work.enqueue(done.id)
    assert refused.value.fields == {"job_id": done.job().id}


def test_the_database_itself_refuses_a_second_active_job(runtime, done):
    from sqlalchemy.exc import IntegrityError

    job = runtime.work.enqueue(done.id)
    with pytest.raises(IntegrityError), runtime.store.db.write() as c:
        jobs.insert_job(c, type(job)(id="another", session_id=done.id, status=JobState.PENDING,
                                     priority=job.priority, created_at_ms=0))  # fmt: skip


def test_retrying_while_it_is_recorded_asks_for_no_job(runtime, recording):
    runtime.lifecycle.start(recording.id)
    recording.send(0, wav(tone(0.1)))
    all_done(runtime, recording, failed=[0])
    retried = runtime.work.retry_session(recording.id)
    assert (retried.segments, retried.job_id) == (1, None)
    assert recording.session().job is None


def test_a_job_is_cancelled_once(runtime, done):
    job = runtime.work.enqueue(done.id)
    assert runtime.work.cancel(job.id).status is JobState.CANCELLED
    with pytest.raises(IllegalTransition):
        runtime.work.cancel(job.id)
    assert runtime.work.get(job.id).finished_at_ms is not None
    with pytest.raises(NotFound):
        runtime.work.get("nobody")


def test_jobs_are_listed_newest_first_in_pages(runtime, done):
    for _ in range(3):
        runtime.work.cancel(runtime.work.enqueue(done.id).id)
    first, cursor = runtime.work.page(session_id=done.id, limit=3)
    rest, end = runtime.work.page(session_id=done.id, limit=3, cursor=cursor)
    assert [len(first), len(rest), end] == [3, 1, None]
    assert [job.created_at_ms for job in first + rest] == sorted(
        (job.created_at_ms for job in first + rest), reverse=True
    )
    cancelled, _ = runtime.work.page(session_id=done.id, status=JobState.CANCELLED)
    assert len(cancelled) == 3
    assert runtime.work.queue()[JobState.CANCELLED] >= 3


def test_a_new_balance_after_the_end_reopens_the_job(runtime, done):
    before = done.job()
    runtime.sessions.set_balance(done.id, 0.25)
    assert done.job().id != before.id
    assert done.session().balance == ((0, 0.25),)
    assert not done.session().mix_settled


def test_a_session_in_the_trash_has_no_job_and_gets_one_when_it_is_restored(runtime, recording):
    runtime.lifecycle.start(recording.id)
    recording.send(0, wav(tone(0.1)))
    runtime.lifecycle.end(recording.id)

    runtime.sessions.trash(recording.id)
    trashed = recording.job()
    restored = runtime.sessions.restore(recording.id)

    assert trashed.status is JobState.CANCELLED
    assert restored.job.status is JobState.PENDING
    assert runtime.sessions.restore(recording.id).job.id == restored.job.id


def test_an_ended_session_that_never_had_a_job_gets_one_when_it_is_restored(runtime, recording):
    runtime.lifecycle.start(recording.id)
    recording.send(0, wav(tone(0.1)))
    runtime.lifecycle.end(recording.id)
    runtime.sessions.trash(recording.id)
    with runtime.store.db.write() as c:  # a database that was made again from the packs knows no jobs
        c.exec_driver_sql("DELETE FROM jobs WHERE session_id = ?", (recording.id,))

    assert runtime.sessions.restore(recording.id).job.status is JobState.PENDING


def test_an_engine_that_is_not_there_is_refused_before_anything_changes(runtime, done):
    with pytest.raises(EngineError, match="nope"):
        runtime.work.enqueue(done.id, options={"engine": "whisper:nope"})
    assert done.session().tracks[0].speech_engine is None


def test_what_a_failed_job_did_not_get_to_is_no_longer_waited_for():
    assert processing_status(Counts(processing=2), JobState.FAILED) is ProcessingStatus.COMPLETED_WITH_ERRORS
    assert processing_status(Counts(pending=2), JobState.FAILED) is ProcessingStatus.FAILED


def test_a_new_name_of_a_speaker_holds_for_what_is_still_to_come(runtime, recording):
    runtime.transcripts.append(recording.id, "Microphone", "hello")

    assert runtime.transcripts.rename(recording.id, "Microphone", "Ana") == 1

    session = recording.session()
    assert speaker_of(session, session.tracks[0]) == "Ana"
    assert [entry.speaker for entry in runtime.transcripts.page(recording.id)[0]] == ["Ana"]


def test_the_text_of_a_session_in_the_trash_stays_as_it_is(runtime, recording):
    runtime.sessions.trash(recording.id)
    with pytest.raises(Trashed):
        runtime.transcripts.append(recording.id, "Ana", "hello")


def test_a_participant_who_is_known_by_role_gets_a_name(runtime):
    session = runtime.sessions.create(NewSession(mode=Mode.GROUP))
    of = session.participants[0].id
    track = runtime.sessions.declare_track(session.id, NewTrack(kind=TrackKind.MICROPHONE, participant_id=of))
    runtime.transcripts.append(session.id, "A", "hello")

    runtime.transcripts.rename(session.id, "A", "Ana")

    assert speaker_of(runtime.sessions.get(session.id), track) == "Ana"


def failed_sessions(runtime, count):
    """Ended sessions of one failed segment each, as rows."""
    ids = []
    for _ in range(count):
        recording = Recording.begin(runtime)
        recording.send(0, wav(tone(0.02)))
        recording.end()
        all_done(runtime, recording, failed=[0])
        ids.append(recording.id)
    return ids


def test_retrying_many_answers_for_each_and_what_is_wrong_with_one_stops_no_other(runtime):
    first, trashed, last = failed_sessions(runtime, 3)
    runtime.sessions.trash(trashed)

    done = runtime.work.retry_sessions([first, "nobody", trashed, last, first])

    assert [(one.session_id, one.segments, one.error) for one in done] == [
        (first, 1, None),
        ("nobody", 0, "session_not_found"),
        (trashed, 0, "trashed"),
        (last, 1, None),
    ]
    assert [runtime.sessions.get(key).processing for key in (first, last)] == [ProcessingStatus.PENDING] * 2
    assert done[0].job_id == runtime.sessions.get(first).job.id
    assert reference_counts_are_exact(runtime)


def test_retrying_all_that_failed_goes_beyond_any_page(runtime):
    [original] = failed_sessions(runtime, 1)
    before = set(runtime.work.with_processing(ProcessingStatus.FAILED))
    copies = copied(runtime, original, 1200)

    found = runtime.work.with_processing(ProcessingStatus.FAILED)
    done = runtime.work.retry_sessions(found)

    assert {one.session_id for one in done} == before | set(copies)
    assert all(one.error is None and one.segments == 1 for one in done)
    assert runtime.work.with_processing(ProcessingStatus.FAILED) == []
    assert reference_counts_are_exact(runtime)


def copied(runtime, session_id, count, *, name="copy"):
    """Copies of a session's rows under other ids, its segments with them."""
    with runtime.store.db.write() as c:
        [track] = tracks.tracks_of(c, [session_id])[session_id]
        [segment] = segments.segments_of(c, track.id)
        session = runtime.sessions.get(session_id)
        ids = [f"{name}-{number:04}" for number in range(count)]
        for key in ids:
            sessions.insert_session(c, replace(session, id=key, participants=(), tags=()))
            tracks.insert_track(c, replace(track, id=f"t-{key}", session_id=key))
            new = replace(
                segment,
                id=f"s-{key}",
                track_id=f"t-{key}",
                status=SegmentStatus.PENDING,
                media=LaneStatus.PENDING,
                speech=LaneStatus.PENDING,
            )
            segments.insert_segments(c, [new])
            stored = segments.get_segment(c, f"t-{key}", 0)
            segments.update_segment(c, stored, media=LaneStatus.FAILED, speech=LaneStatus.DONE)
            blobs.add_reference(c, segment.sha256)
    return ids


def test_the_disk_refusing_a_part_is_said_for_its_sessions_and_changes_nothing_of_them(runtime):
    [original] = failed_sessions(runtime, 1)
    copies = copied(runtime, original, 300, name="full")
    with runtime.store.db.write() as c:
        pages = c.exec_driver_sql("PRAGMA page_count").scalar_one()
        c.exec_driver_sql(f"PRAGMA max_page_count={pages + 5}")
    try:
        done = runtime.work.retry_sessions(copies)
    finally:
        with runtime.store.db.write() as c:
            c.exec_driver_sql("PRAGMA max_page_count=1073741823")

    refused = [one.session_id for one in done if one.error is not None]
    assert {one.error for one in done if one.error is not None} == {"storage_full"}
    assert set(refused) <= set(runtime.work.with_processing(ProcessingStatus.FAILED))
    assert all(runtime.sessions.get(key).job is None for key in refused)
    assert all(one.error is None for one in runtime.work.retry_sessions(refused))


def test_the_newest_job_counts_although_the_clock_was_set_back(runtime, done):
    first = runtime.work.enqueue(done.id)
    runtime.work.cancel(first.id)
    with runtime.store.db.write() as c:  # as if that had been an hour later
        jobs.update_job(c, first.id, created_at_ms=first.created_at_ms + 3_600_000)

    second = runtime.work.enqueue(done.id)

    assert done.job().id == second.id
    assert runtime.work.page(session_id=done.id)[0][0].id == second.id
