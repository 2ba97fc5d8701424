"""Tracks: declare, list, heartbeat; and what of them is there."""

from __future__ import annotations

from fastapi import APIRouter

from longtake.server.api.common import READ, RECORD, Recorder, SessionId, TrackId, problems
from longtake.server.routing import ApiRoute, Run
from longtake.sessions.manager import NewTrack
from longtake.sessions.recorders import TrackReport
from longtake.wire.base import Page, milliseconds
from longtake.wire.tracks import (
    CoverageAnswer,
    TrackAnswer,
    TrackCoverageAnswer,
    TrackRequest,
    TrackStatusRequest,
    reported,
)

router = APIRouter(route_class=ApiRoute, tags=["tracks"])


@router.post(
    "/api/sessions/{session_id}/tracks",
    status_code=201,
    dependencies=RECORD,
    responses=problems(404, 409, 413, 422, 507),
)
def declare_track(session_id: SessionId, run: Run, caller: Recorder, body: TrackRequest) -> TrackAnswer:
    """Add a track to a session that has not ended."""
    track = run.sessions.declare_track(
        session_id,
        NewTrack(
            kind=body.kind,
            participant_id=body.participant_id,
            device_id=body.device_id or caller.device_id,
            name=body.name,
            started_at_ms=None if body.started_at is None else milliseconds(body.started_at),
            expected_segments=body.expected_segments,
        ),
    )
    return TrackAnswer.of(track)


@router.get("/api/sessions/{session_id}/tracks", dependencies=READ, responses=problems(404))
def list_tracks(session_id: SessionId, run: Run) -> Page[TrackAnswer]:
    """All tracks, in order of declaration."""
    return Page(items=[TrackAnswer.of(track) for track in run.sessions.get(session_id).tracks], next_cursor=None)


@router.put(
    "/api/sessions/{session_id}/tracks/{track_id}/status",
    dependencies=RECORD,
    responses=problems(404, 409, 413, 422, 507),
)
def report_track(
    session_id: SessionId, track_id: TrackId, run: Run, caller: Recorder, body: TrackStatusRequest
) -> TrackAnswer:
    """Take a recorder's heartbeat: every 5 to 10 seconds. An interrupted session goes on when it says `active`."""
    report = TrackReport(
        state=body.state,
        health=body.health,
        metrics=None if body.metrics is None else reported(body.metrics),
        permissions=body.permissions,
        error=body.error,
    )
    return TrackAnswer.of(run.recorders.report(session_id, track_id, report, device_id=caller.device_id))


@router.get("/api/sessions/{session_id}/coverage", dependencies=READ, responses=problems(404))
def get_coverage(session_id: SessionId, run: Run) -> CoverageAnswer:
    """Per track of sound: what there should be, what there is, and the gaps with their cause."""
    return CoverageAnswer(
        tracks=[TrackCoverageAnswer.of(one.track, one.coverage) for one in run.sessions.coverage(session_id)]
    )
