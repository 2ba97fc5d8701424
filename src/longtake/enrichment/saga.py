"""Jobs, from row to row: claimed, run stage by stage with a checkpoint after each, retried, finished.

Belongs here: attempts, progress, the end of a job. Does not: what a stage does (`stages`), running it durably
(`engine`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from sqlalchemy import Connection

from longtake.enrichment.locks import SessionLocks
from longtake.enrichment.pump import is_permanent
from longtake.enrichment.stages import PERCENT, Stage, Stages
from longtake.model.errors import Cancelled, LongtakeError, NotFound, Unavailable
from longtake.model.lifecycle import JOB, JobEvent, JobState, follow
from longtake.model.session import Job
from longtake.storage.catalog import jobs
from longtake.storage.store import Store

BACK_OFF_MS = (1000, 2000, 4000)
"""One attempt and up to three more, after these pauses."""

UNGUARDED = frozenset({Stage.VALIDATING, Stage.ESTIMATING})
"""Stages that change nothing: they need no session to themselves."""
STORE_PAUSE_S = 1.0
"""How long a store is left alone that refused to note how a job ended."""

log = structlog.get_logger()


class Saga:
    """Runs jobs. Every effect is a row; a job may be killed anywhere and goes on behind its last finished stage."""

    def __init__(self, store: Store, stages: Stages, limit: int, stopping: threading.Event) -> None:
        self._store = store
        self._stages = stages
        self._limit = limit
        self._stopping = stopping
        self._locks = SessionLocks()

    def recover(self) -> None:
        """At a start: jobs that ran when the process died wait again; a crash counts as an attempt."""
        with self._store.db.write() as c:
            for job in jobs.running_jobs(c):
                self._attempt_failed(c, job, "the process ended while it ran", is_permanent=False)

    def due(self, start: Callable[[str, int], None]) -> None:
        """Claim the jobs that are due, up to the limit, and have each started under the number of its claim."""
        with self._store.db.read() as c:
            room = self._limit - jobs.count_running(c)
            found = jobs.due_jobs(c, self._store.now_ms(), max(BACK_OFF_MS), room) if room > 0 else []
        for job in found:
            if self._claim(job):
                try:
                    start(job.id, job.claims + 1)
                except Exception as error:  # noqa: BLE001 - a job that was claimed and not begun would never end
                    self._fail(self._get(job.id), error)

    def run_stage(self, job_id: str, claim: int, name: str) -> bool:
        """Run one stage of a claimed job; returns False when there is nothing more to do under this claim."""
        try:
            job = self._get(job_id)
        except Cancelled:
            return False
        if job.status is not JobState.PROCESSING or job.claims != claim:
            return False
        if name in job.done:
            return True
        stage = Stage(name)
        try:
            self._progress(job, stage, 0.0, None)
            if stage in UNGUARDED:
                return self._work_through(job, stage)
            with self._locks.hold(job.session_id, job.id, lambda: self._check(job)):
                return self._work_through(job, stage)
        except Cancelled:
            if self._stopping.is_set():
                self._put_back(job)
            return False
        except Exception as error:  # noqa: BLE001 - whatever a stage raises, the job's row says it
            if self._stopping.is_set():
                self._put_back(job)
            elif not self._is_over(job):
                self._fail(job, error)
            return False

    def abandoned(self, job_id: str, claim: int, error: Exception) -> None:
        """The engine gave up a job between two stages: it is tried again, or the next start finds it."""
        try:
            job = self._get(job_id)
        except Cancelled:
            return
        if job.status is JobState.PROCESSING and job.claims == claim and not self._stopping.is_set():
            self._fail(job, error)

    def works_on(self, session_id: str) -> str | None:
        """The job that is changing a session just now, if there is one."""
        return self._locks.holder(session_id)

    def _work_through(self, job: Job, stage: Stage) -> bool:
        while True:
            self._stages.run(stage, job, lambda part, substage: self._progress(job, stage, part, substage))
            if self._checkpoint(job, stage):
                return stage is not Stage.COMPLETED

    def _check(self, job: Job) -> None:
        """Raise Cancelled when a job is no longer to run."""
        if self._stopping.is_set():
            raise Cancelled("the process is asked to end")
        self._running(job)

    def _running(self, job: Job) -> Job:
        """A job as it is now; raises Cancelled when it does not run under its claim any more."""
        now = self._get(job.id)
        if now.status is not JobState.PROCESSING or now.claims != job.claims:
            raise Cancelled(f"job {job.id} was cancelled")
        return now

    def _get(self, job_id: str) -> Job:
        """A job; raises Cancelled when it went with its session."""
        try:
            with self._store.db.read() as c:
                return jobs.get_job(c, job_id)
        except NotFound as error:
            raise Cancelled(f"job {job_id} was deleted") from error

    def _is_over(self, job: Job) -> bool:
        """Whether somebody cancelled or deleted it: whatever went wrong, went wrong for that."""
        try:
            self._running(job)
        except Cancelled:
            return True
        return False

    def _claim(self, job: Job) -> bool:
        with self._store.db.write() as c:
            claimed = jobs.move_job(
                c,
                job.id,
                JobState.PENDING,
                follow(JOB, JobState.PENDING, JobEvent.CLAIMED),
                attempts=job.attempts + 1,
                claims=job.claims + 1,
                started_at_ms=job.started_at_ms or self._store.now_ms(),
                error=None,
            )
        if claimed:
            self._store.bus.publish("job-started", job.session_id, job_id=job.id, progress=job.progress)
        return claimed

    def _progress(self, job: Job, stage: Stage, part: float, substage: str | None) -> None:
        """Show how far a job is; raises Cancelled when it is no longer to run."""
        low, high = PERCENT[stage]
        percent = low + int((high - low) * part)
        columns: dict[str, object] = {"stage": stage.value, "substage": substage, "progress": percent}
        now = self._running(job)
        if (now.stage, now.substage, now.progress) == (stage.value, substage, percent):
            return
        with self._store.db.write() as c:
            if not jobs.move_job(c, job.id, JobState.PROCESSING, JobState.PROCESSING, **columns):
                raise Cancelled(f"job {job.id} was cancelled")
        self._store.bus.publish("job-progress", job.session_id, job_id=job.id, **columns)

    def _checkpoint(self, job: Job, stage: Stage) -> bool:
        """Note that a stage is done; the last one ends the job. False: something came meanwhile, run it again."""
        with self._store.db.write() as c:
            now = jobs.get_job(c, job.id)
            if now.status is not JobState.PROCESSING or now.claims != job.claims:
                raise Cancelled(f"job {job.id} was cancelled")
            if stage is not Stage.COMPLETED:
                jobs.update_job(c, job.id, done=[*now.done, stage.value])
                return True
            if not self._stages.is_whole(c, job.session_id):
                return False
            after = follow(JOB, now.status, JobEvent.DONE)
            jobs.update_job(
                c, job.id, status=after, stage=stage.value, progress=100, finished_at_ms=self._store.now_ms()
            )
        self._store.bus.publish("job-completed", job.session_id, job_id=job.id, progress=100)
        return True

    def _put_back(self, job: Job) -> None:
        """The process is asked to end: that is no failure."""
        with self._store.db.write() as c:
            jobs.move_job(c, job.id, JobState.PROCESSING, JobState.PENDING, attempts=job.attempts - 1)

    def _fail(self, job: Job, error: Exception) -> None:
        code = error.code if isinstance(error, LongtakeError) else type(error).__name__
        trace = None if isinstance(error, LongtakeError) else error
        log.error("job_failed", job=job.id, session=job.session_id, code=code, error=error, exc_info=trace)
        while True:
            try:
                now = self._note_failure(job, f"{code}: {error}", is_permanent=is_permanent(error))
                break
            except Unavailable as refused:  # a full disk, perhaps the error itself: the job must not be left as running
                log.error("job_failure_not_noted", job=job.id, code=refused.code, error=refused)
                if self._stopping.wait(STORE_PAUSE_S):
                    return  # the next start finds it
        name = "job-failed" if now.status is JobState.FAILED else "job-progress"
        self._store.bus.publish(name, job.session_id, job_id=job.id, progress=now.progress, error=str(error))

    def _note_failure(self, job: Job, error: str, *, is_permanent: bool) -> Job:
        with self._store.db.write() as c:
            now = jobs.get_job(c, job.id)
            if now.status is JobState.PROCESSING and now.claims == job.claims:
                self._attempt_failed(c, now, error, is_permanent=is_permanent)
            return jobs.get_job(c, job.id)

    def _attempt_failed(self, c: Connection, job: Job, error: str, *, is_permanent: bool) -> None:
        """Have a job tried again after a pause, or end it."""
        if is_permanent or job.attempts > len(BACK_OFF_MS):
            after = follow(JOB, job.status, JobEvent.FAILED)
            jobs.update_job(c, job.id, status=after, error=error, finished_at_ms=self._store.now_ms())
            return
        pause_ms = BACK_OFF_MS[max(0, job.attempts - 1)]
        after = follow(JOB, job.status, JobEvent.RETRY_SCHEDULED)
        jobs.update_job(c, job.id, status=after, error=error, not_before_ms=self._store.now_ms() + pause_ms)
