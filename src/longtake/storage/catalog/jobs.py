"""Jobs: rows ⇄ model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection, Row, and_, func, insert, or_, select, update

from longtake.model.errors import NotFound, StorageFailed, StorageFull
from longtake.model.lifecycle import JobState
from longtake.model.session import Job, Priority
from longtake.storage.tables import jobs, sessions

ACTIVE = (JobState.PENDING, JobState.PROCESSING)
REFUSED = (StorageFull.code, StorageFailed.code)
"""How the error of a job begins that failed for want of a disk."""


def insert_job(c: Connection, job: Job) -> None:
    """Store a new job. The database refuses a second active one of a session."""
    c.execute(
        insert(jobs).values(
            id=job.id,
            session_id=job.session_id,
            status=job.status,
            priority=job.priority,
            progress=job.progress,
            attempts=job.attempts,
            cost_usd_micros=job.cost_usd_micros,
            estimated_cost_usd_micros=job.estimated_cost_usd_micros,
            options=dict(job.options),
            done=list(job.done),
            created_at_ms=job.created_at_ms,
            not_before_ms=job.not_before_ms,
        )
    )


def enqueue(
    c: Connection,
    session_id: str,
    *,
    now_ms: int,
    new_id: Callable[[], str],
    priority: Priority = Priority.NORMAL,
    options: Mapping[str, object] | None = None,
) -> Job:
    """The active job of a session, or a new one."""
    active = active_job(c, session_id)
    if active is not None:
        return active
    newest_ms = newest_at_ms(c, session_id)
    job = Job(
        id=new_id(),
        session_id=session_id,
        status=JobState.PENDING,
        priority=priority,
        # the newest of a session is the one that counts, also when somebody has set the clock back
        created_at_ms=max(now_ms, 0 if newest_ms is None else newest_ms + 1),
        options=dict(options or {}),
    )
    insert_job(c, job)
    return job


def update_job(c: Connection, job_id: str, **columns: object) -> None:
    """Set columns of a job."""
    c.execute(update(jobs).where(jobs.c.id == job_id).values(**columns))


def move_job(c: Connection, job_id: str, before: JobState, after: JobState, **columns: object) -> bool:
    """Set the status if it is still `before`; False when somebody else was first."""
    where = and_(jobs.c.id == job_id, jobs.c.status == before)
    return c.execute(update(jobs).where(where).values(status=after, **columns)).rowcount == 1


def get_job(c: Connection, job_id: str) -> Job:
    """A job; raises NotFound."""
    row = c.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()
    if row is None:
        raise NotFound("job", job_id)
    return _job(row)


def active_job(c: Connection, session_id: str) -> Job | None:
    """The job of a session that is pending or running."""
    row = c.execute(select(jobs).where(jobs.c.session_id == session_id, jobs.c.status.in_(ACTIVE))).one_or_none()
    return None if row is None else _job(row)


def add_cost(c: Connection, session_id: str, usd_micros: int) -> None:
    """An engine asked for something: it is the cost of the session's active job, if it has one."""
    where = and_(jobs.c.session_id == session_id, jobs.c.status.in_(ACTIVE))
    c.execute(update(jobs).where(where).values(cost_usd_micros=jobs.c.cost_usd_micros + usd_micros))


def running_jobs(c: Connection) -> list[Job]:
    """All jobs that are running."""
    return [_job(row) for row in c.execute(select(jobs).where(jobs.c.status == JobState.PROCESSING))]


def count_running(c: Connection) -> int:
    """How many jobs are running."""
    return c.execute(select(func.count()).where(jobs.c.status == JobState.PROCESSING)).scalar_one()


def due_jobs(c: Connection, now_ms: int, longest_pause_ms: int, limit: int) -> list[Job]:
    """The next jobs to run: by priority, then age, without those whose pause lasts.

    A pause that ends later than any pause can was begun before somebody set the clock back: it is over.
    """
    found: list[Job] = []
    is_over = or_(jobs.c.not_before_ms <= now_ms, jobs.c.not_before_ms > now_ms + longest_pause_ms)
    for priority in (Priority.HIGH, Priority.NORMAL, Priority.LOW):
        if len(found) < limit:
            query = select(jobs).where(jobs.c.status == JobState.PENDING, jobs.c.priority == priority, is_over)
            query = query.order_by(jobs.c.created_at_ms, jobs.c.id).limit(limit - len(found))
            found += [_job(row) for row in c.execute(query)]
    return found


def newest_at_ms(c: Connection, session_id: str) -> int | None:
    """When the newest job of a session was asked for; None when it has none."""
    return c.execute(select(func.max(jobs.c.created_at_ms)).where(jobs.c.session_id == session_id)).scalar()


def latest_jobs(c: Connection, session_ids: Sequence[str]) -> dict[str, Job]:
    """The newest job of each session that has one."""
    newest = (
        select(jobs.c.session_id, func.max(jobs.c.created_at_ms).label("at_ms"))
        .where(jobs.c.session_id.in_(session_ids))
        .group_by(jobs.c.session_id)
        .subquery()
    )
    query = select(jobs).join(
        newest, and_(jobs.c.session_id == newest.c.session_id, jobs.c.created_at_ms == newest.c.at_ms)
    )
    return {row.session_id: _job(row) for row in c.execute(query.order_by(jobs.c.id))}


def refused_sessions(c: Connection) -> list[str]:
    """The sessions, but those in the trash, whose newest job failed because the disk refused."""
    newest = select(func.max(jobs.c.created_at_ms)).where(jobs.c.session_id == sessions.c.id).correlate(sessions)
    query = select(sessions.c.id).join(jobs, jobs.c.session_id == sessions.c.id)
    query = query.where(sessions.c.trashed_at_ms.is_(None), sessions.c.purged_at_ms.is_(None))
    query = query.where(jobs.c.status == JobState.FAILED, jobs.c.created_at_ms == newest.scalar_subquery())
    return list(c.execute(query.where(or_(*(jobs.c.error.startswith(f"{code}:") for code in REFUSED)))).scalars())


def list_jobs(
    c: Connection, *, session_id: str | None, status: JobState | None, limit: int, after: tuple[int, str] | None
) -> list[Job]:
    """Jobs, newest first, from behind a position (created_at_ms, id).

    Of all statuses a page each is read, in the order of the index over them: there are few statuses and many jobs.
    """
    query = select(jobs).order_by(jobs.c.created_at_ms.desc(), jobs.c.id.desc()).limit(limit)
    if session_id is not None:
        query = query.where(jobs.c.session_id == session_id)
    if after is not None:
        at_ms, job_id = after
        query = query.where(jobs.c.created_at_ms <= at_ms, or_(jobs.c.created_at_ms < at_ms, jobs.c.id < job_id))
    statuses = JobState if status is None else (status,)
    found = [_job(row) for one in statuses for row in c.execute(query.where(jobs.c.status == one))]
    return sorted(found, key=lambda job: (job.created_at_ms, job.id), reverse=True)[:limit]


def count_by_status(c: Connection) -> dict[JobState, int]:
    """How many jobs are in each status."""
    query = select(jobs.c.status, func.count()).group_by(jobs.c.status)
    return {JobState(status): count for status, count in c.execute(query)}


def _job(row: Row[tuple[object, ...]]) -> Job:
    return Job(
        id=row.id,
        session_id=row.session_id,
        status=JobState(row.status),
        priority=Priority(row.priority),
        created_at_ms=row.created_at_ms,
        stage=row.stage,
        substage=row.substage,
        progress=row.progress,
        attempts=row.attempts,
        claims=row.claims,
        cost_usd_micros=row.cost_usd_micros,
        estimated_cost_usd_micros=row.estimated_cost_usd_micros,
        error=row.error,
        options=row.options,
        done=tuple(row.done),
        started_at_ms=row.started_at_ms,
        finished_at_ms=row.finished_at_ms,
        not_before_ms=row.not_before_ms,
    )
