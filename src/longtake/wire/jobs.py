"""Jobs and the queue on the wire."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field

from longtake.model.lifecycle import JobState
from longtake.model.session import Job, Priority
from longtake.wire.base import Answer, Identifier, Request, Time, moment, moment_or_none


class EnrichRequest(Request):
    """Asks for a job; what is left out is as configured."""

    priority: Priority = Priority.NORMAL
    include_audio: bool = True
    include_video: bool = True
    engine: Identifier | None = None
    max_cost_usd: Annotated[float, Field(ge=0, le=1e6)] | None = None


class JobAnswer(Answer):
    """One run of a session's enrichment."""

    id: str
    session_id: str
    status: JobState
    priority: Priority
    stage: str | None
    substage: str | None
    progress: int
    attempts: int
    cost_usd: float
    estimated_cost_usd: float
    error: str | None
    created_at: Time
    started_at: Time | None
    finished_at: Time | None

    @classmethod
    def of(cls, job: Job) -> Self:
        """From the model."""
        return cls(
            id=job.id,
            session_id=job.session_id,
            status=job.status,
            priority=job.priority,
            stage=job.stage,
            substage=job.substage,
            progress=job.progress,
            attempts=job.attempts,
            cost_usd=job.cost_usd_micros / 1e6,
            estimated_cost_usd=job.estimated_cost_usd_micros / 1e6,
            error=job.error,
            created_at=moment(job.created_at_ms),
            started_at=moment_or_none(job.started_at_ms),
            finished_at=moment_or_none(job.finished_at_ms),
        )


class QueueAnswer(Answer):
    """How many jobs there are in each status, and how many run at once."""

    pending: int
    processing: int
    completed: int
    failed: int
    cancelled: int
    concurrency: int

    @classmethod
    def of(cls, counts: dict[JobState, int], concurrency: int) -> Self:
        """From the counts."""
        return cls(**{state.value: counts.get(state, 0) for state in JobState}, concurrency=concurrency)
