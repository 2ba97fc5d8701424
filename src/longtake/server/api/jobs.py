"""Jobs and the queue."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from longtake.model.lifecycle import JobState
from longtake.server.api.common import READ, WRITE, Cursor, Limit, SessionId, problems
from longtake.server.routing import ApiRoute, Run
from longtake.wire.base import Page
from longtake.wire.jobs import EnrichRequest, JobAnswer, QueueAnswer

router = APIRouter(route_class=ApiRoute, tags=["jobs"])
JobId = Annotated[str, Path(max_length=64, description="The job's id.")]


@router.post(
    "/api/sessions/{session_id}/enrich",
    status_code=201,
    dependencies=WRITE,
    responses=problems(404, 409, 410, 413, 422, 507),
)
def enrich_session(session_id: SessionId, run: Run, body: EnrichRequest | None = None) -> JobAnswer:
    """Ask for a job; a session has one that is pending or running at a time."""
    asked = body or EnrichRequest()
    options = asked.model_dump(mode="json", exclude={"priority"}, exclude_none=True)
    return JobAnswer.of(run.work.enqueue(session_id, priority=asked.priority, options=options))


@router.get("/api/jobs", dependencies=READ, responses=problems(422))
def list_jobs(
    run: Run,
    session_id: Annotated[str | None, Query(max_length=64, description="Only of this session.")] = None,
    status: Annotated[JobState | None, Query(description="Only with this status.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[JobAnswer]:
    """Jobs, newest first."""
    page, following = run.work.page(session_id=session_id, status=status, limit=limit, cursor=cursor)
    return Page(items=[JobAnswer.of(job) for job in page], next_cursor=following)


@router.get("/api/jobs/{job_id}", dependencies=READ, responses=problems(404))
def get_job(job_id: JobId, run: Run) -> JobAnswer:
    """One job."""
    return JobAnswer.of(run.work.get(job_id))


@router.post("/api/jobs/{job_id}/cancel", dependencies=WRITE, responses=problems(404, 409, 507))
def cancel_job(job_id: JobId, run: Run) -> JobAnswer:
    """Cancel a job that is pending or running; what it finished stays."""
    return JobAnswer.of(run.work.cancel(job_id))


@router.get("/api/queue", dependencies=READ)
def get_queue(run: Run) -> QueueAnswer:
    """How many jobs there are in each status."""
    return QueueAnswer.of(run.work.queue(), run.settings.job_workers)
