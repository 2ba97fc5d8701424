"""Retries: one segment, the failed ones of a session, those of many sessions at once."""

from __future__ import annotations

from fastapi import APIRouter

from longtake.model.errors import Invalid
from longtake.server.api.common import WRITE, Index, SessionId, TrackId, problems
from longtake.server.routing import ApiRoute, Run
from longtake.wire.sessions import BulkRetryRequest
from longtake.wire.tracks import RetriesAnswer, RetryAnswer

router = APIRouter(route_class=ApiRoute, tags=["retries"])


@router.post(
    "/api/sessions/{session_id}/tracks/{track_id}/segments/{index}/retry",
    dependencies=WRITE,
    responses=problems(404, 507),
)
def retry_segment(session_id: SessionId, track_id: TrackId, index: Index, run: Run) -> RetryAnswer:
    """Process one segment again."""
    return RetryAnswer.of(run.work.retry_segment(session_id, track_id, index))


@router.post("/api/sessions/{session_id}/retry", dependencies=WRITE, responses=problems(404, 507))
def retry_session(session_id: SessionId, run: Run) -> RetryAnswer:
    """Process all failed segments of a session again."""
    return RetryAnswer.of(run.work.retry_session(session_id))


@router.post("/api/sessions/retry", dependencies=WRITE, responses=problems(413, 422, 507))
def retry_sessions(run: Run, body: BulkRetryRequest) -> RetriesAnswer:
    """Process the failed segments of many sessions again: of those named, or of all with a processing status.

    However many there are, each is answered for; what is wrong with one does not stop the others.
    """
    if bool(body.session_ids) == (body.processing is not None):
        raise Invalid("name either session_ids or processing")
    ids = body.session_ids if body.processing is None else run.work.with_processing(body.processing)
    return RetriesAnswer(items=[RetryAnswer.of(one) for one in run.work.retry_sessions(ids)])
