"""Asking for work: enrichment jobs and retries. Rows are the truth; the lanes and the saga find them there.

Belongs here: what should be done. Does not: doing it (`enrichment`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from sqlalchemy import Connection

from longtake.model.errors import JobActive, LongtakeError, Rejected
from longtake.model.lifecycle import JOB, JobEvent, JobState, SessionState, follow
from longtake.model.session import Job, Priority, ProcessingStatus, Retried, Segment
from longtake.storage.catalog import jobs, segments, sessions, tracks
from longtake.storage.catalog.paging import page_of, position
from longtake.storage.catalog.reopening import reopen_segment
from longtake.storage.store import Store

ENGINES_BEFORE = "engines_before"
"""Among a job's options: which engine had heard each track before the job asked for another,"""
LANGUAGES_BEFORE = "languages_before"
"""and which language it was told to hear."""
RETRIED_AT_ONCE = 25
"""Sessions that one transaction sets going again: a flush for many, and nobody else waits for long."""


class Work:
    """Jobs and retries. Every method is one transaction and may be called from any thread."""

    def __init__(self, store: Store, check_engine: Callable[[str], None] = lambda _: None) -> None:
        """`check_engine` raises for a speech engine that cannot be used."""
        self._store = store
        self._check_engine = check_engine

    def enqueue(
        self, session_id: str, *, priority: Priority = Priority.NORMAL, options: Mapping[str, object] | None = None
    ) -> Job:
        """Ask for the enrichment of a session; the option `engine` has it transcribed anew by another engine.

        Raises:
            JobActive: It has one that is pending or running.
        """
        engine = (options or {}).get("engine")
        if engine is not None:
            self._check_engine(str(engine))
        with self._store.db.write() as c:
            sessions.open_session(c, session_id)
            if engine is not None:
                sessions.check_recorded(c, session_id)  # nothing is there that could be heard anew
            active = jobs.active_job(c, session_id)
            if active is not None:
                raise JobActive(f"job {active.id} of this session is {active.status.value}", job_id=active.id)
            job = self.enqueue_in(c, session_id, priority=priority, options=options)
        self.announce(job)
        return job

    def enqueue_in(
        self,
        c: Connection,
        session_id: str,
        *,
        priority: Priority = Priority.NORMAL,
        options: Mapping[str, object] | None = None,
    ) -> Job:
        """Within a transaction: the session's active job, or a new one. Call `announce` after the commit."""
        return jobs.enqueue(
            c,
            session_id,
            now_ms=self._store.now_ms(),
            new_id=self._store.new_id,
            priority=priority,
            options=options,
        )

    def announce(self, job: Job | None) -> None:
        """Tell everybody what became of a job, if there is one: that it waits, or was cancelled."""
        if job is None:
            return
        if job.status is JobState.CANCELLED:
            self._store.bus.publish("job-cancelled", job.session_id, job_id=job.id)
        else:
            self._store.bus.publish("job-enqueued", job.session_id, job_id=job.id, progress=0)

    def announce_active(self, session_id: str) -> None:
        """The same for the job of a session that waits, if there is one."""
        with self._store.db.read() as c:
            job = jobs.active_job(c, session_id)
        if job is not None and job.status is JobState.PENDING:
            self.announce(job)

    def get(self, job_id: str) -> Job:
        """A job; raises NotFound."""
        with self._store.db.read() as c:
            return jobs.get_job(c, job_id)

    def page(
        self,
        *,
        session_id: str | None = None,
        status: JobState | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> tuple[list[Job], str | None]:
        """A page of jobs, newest first, and the cursor of the next page."""
        after = position(cursor, int, str)
        with self._store.db.read() as c:
            found = jobs.list_jobs(c, session_id=session_id, status=status, limit=limit + 1, after=after)
        return page_of(found, limit, lambda job: (job.created_at_ms, job.id))

    def queue(self) -> dict[JobState, int]:
        """How many jobs are in each status."""
        with self._store.db.read() as c:
            return jobs.count_by_status(c)

    def cancel(self, job_id: str) -> Job:
        """Cancel a job that is pending or running; what it finished stays.

        Raises:
            IllegalTransition: It has ended already.
        """
        with self._store.db.write() as c:
            job = self._cancel(c, jobs.get_job(c, job_id))
        self.announce(job)
        return job

    def cancel_in(self, c: Connection, session_id: str) -> Job | None:
        """Within a transaction: cancel the session's active job, if it has one. Call `announce` after the commit."""
        active = jobs.active_job(c, session_id)
        return None if active is None else self._cancel(c, active)

    def _cancel(self, c: Connection, job: Job) -> Job:
        after = follow(JOB, job.status, JobEvent.CANCEL_REQUESTED)
        jobs.move_job(c, job.id, job.status, after, finished_at_ms=self._store.now_ms())
        engines, languages = (_by_track(job, name) for name in (ENGINES_BEFORE, LANGUAGES_BEFORE))
        for track in tracks.tracks_of(c, [job.session_id])[job.session_id]:
            if track.id in engines and not track.speech_settled:  # what it heard is remembered: nobody is asked
                tracks.hear_anew(c, track.id, engines[track.id], languages.get(track.id))
        return jobs.get_job(c, job.id)

    def retry_segment(self, session_id: str, track_id: str, index: int) -> Retried:
        """Process one segment again, whatever its status."""
        with self._store.db.write() as c:
            tracks.get_track(c, track_id, session_id)
            done = self._retry(c, session_id, [segments.get_segment(c, track_id, index)])
        self._announce_retry(done)
        return done

    def retry_session(self, session_id: str) -> Retried:
        """Process all failed segments of a session again, and its enrichment."""
        with self._store.db.write() as c:
            done = self._retry_failed(c, session_id)
        self._announce_retry(done)
        return done

    def with_processing(self, status: ProcessingStatus) -> list[str]:
        """The ids of all sessions with a processing status, the trash apart."""
        with self._store.db.read() as c:
            return sessions.ids_with_processing(c, status)

    def retry_refused(self) -> list[Retried]:
        """Set going again what failed because the disk refused: a chore, for there may be room by now."""
        with self._store.db.read() as c:
            found = jobs.refused_sessions(c)
        return self.retry_sessions(found)

    def retry_sessions(self, session_ids: Iterable[str]) -> list[Retried]:
        """The same for many sessions, each named once; what is wrong with one stops no other and is in its answer."""
        wanted = list(dict.fromkeys(session_ids))
        done: list[Retried] = []
        for first in range(0, len(wanted), RETRIED_AT_ONCE):
            part = wanted[first : first + RETRIED_AT_ONCE]
            try:
                with self._store.db.write() as c:
                    retried = [self._retry_apart(c, session_id) for session_id in part]
            except LongtakeError as error:  # the disk refuses: of this part nothing was changed
                retried = [_refused(session_id, error) for session_id in part]
            for one in retried:
                if one.error is None:
                    self._announce_retry(one)
            done += retried
        return done

    def _retry_apart(self, c: Connection, session_id: str) -> Retried:
        """Within a transaction: what is wrong with this session undoes nothing but what was done to it."""
        try:
            with c.begin_nested():
                return self._retry_failed(c, session_id)
        except Rejected as error:
            return _refused(session_id, error)

    def _retry_failed(self, c: Connection, session_id: str) -> Retried:
        return self._retry(c, session_id, segments.failed_segments(c, session_id))

    def _retry(self, c: Connection, session_id: str, wanted: Sequence[Segment]) -> Retried:
        job = None
        state = sessions.open_state(c, session_id)
        for segment in wanted:
            reopen_segment(c, segment)
        if wanted:
            sessions.update_session(c, session_id, mix_settled=False)
        if state is SessionState.COMPLETED:
            job = self.enqueue_in(c, session_id)
        return Retried(session_id=session_id, segments=len(wanted), job_id=job.id if job else None)

    def _announce_retry(self, done: Retried) -> None:
        if done.job_id is not None:
            self._store.bus.publish("job-enqueued", done.session_id, job_id=done.job_id, progress=0)
        self._store.bus.publish("work", done.session_id)


def _by_track(job: Job, name: str) -> Mapping[str, str | None]:
    """One of a job's options that says something of each track."""
    said = job.options.get(name)
    return said if isinstance(said, Mapping) else {}


def _refused(session_id: str, error: LongtakeError) -> Retried:
    return Retried(session_id=session_id, segments=0, job_id=None, error=error.code)
