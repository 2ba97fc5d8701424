"""A session's life: start, pause, resume, end, reset, dismiss; and its history."""

from __future__ import annotations

from fastapi import APIRouter

from longtake.server.api.common import READ, RECORD, Recorder, SessionId, problems
from longtake.server.routing import ApiRoute, Run, Views
from longtake.sessions.lifecycle import Announced
from longtake.wire.base import Page
from longtake.wire.history import TransitionAnswer
from longtake.wire.sessions import EndRequest, SessionAnswer, StartedAnswer

router = APIRouter(route_class=ApiRoute, tags=["lifecycle"])
STEP = problems(404, 409, 507)


@router.post("/api/sessions/{session_id}/start", dependencies=RECORD, responses=STEP)
def start_session(session_id: SessionId, run: Run, caller: Recorder, views: Views) -> StartedAnswer:
    """Begin to record: walks and records all states to `active`, unless the chosen sources lack a permission."""
    run.sessions.get(session_id)
    prospect = run.room.check(session_id)
    session = views.of(run.lifecycle.start(session_id, actor=caller.actor))
    return StartedAnswer.of_started(
        session,
        room_bytes=max(0, prospect.forecast.room_bytes),
        bytes_per_hour=prospect.forecast.bytes_per_hour,
        minutes_left=round(prospect.forecast.minutes_left, 1),
        warning=prospect.warning,
    )


@router.post("/api/sessions/{session_id}/pause", dependencies=RECORD, responses=STEP)
def pause_session(session_id: SessionId, run: Run, caller: Recorder, views: Views) -> SessionAnswer:
    """Pause; media time stands still."""
    return views.of(run.lifecycle.pause(session_id, actor=caller.actor))


@router.post("/api/sessions/{session_id}/resume", dependencies=RECORD, responses=STEP)
def resume_session(session_id: SessionId, run: Run, caller: Recorder, views: Views) -> SessionAnswer:
    """Go on after a pause or an interruption."""
    return views.of(run.lifecycle.resume(session_id, actor=caller.actor))


@router.post("/api/sessions/{session_id}/end", dependencies=RECORD, responses=STEP | problems(413, 422))
def end_session(
    session_id: SessionId, run: Run, caller: Recorder, views: Views, body: EndRequest | None = None
) -> SessionAnswer:
    """Stop recording and have the session enriched. Late segments are still taken."""
    announced = [
        Announced(track_id=one.track_id, segments=one.segments, duration_ms=one.duration_ms)
        for one in (body.tracks if body is not None else ())
    ]
    return views.of(run.lifecycle.end(session_id, announced, actor=caller.actor))


@router.post("/api/sessions/{session_id}/reset", dependencies=RECORD, responses=STEP)
def reset_session(session_id: SessionId, run: Run, caller: Recorder, views: Views) -> SessionAnswer:
    """Leave `error` for `idle`, to try again."""
    return views.of(run.lifecycle.reset(session_id, actor=caller.actor))


@router.post("/api/sessions/{session_id}/dismiss", dependencies=RECORD, responses=STEP)
def dismiss_session(session_id: SessionId, run: Run, caller: Recorder, views: Views) -> SessionAnswer:
    """Leave `error` for `idle`, without trying again."""
    return views.of(run.lifecycle.dismiss(session_id, actor=caller.actor))


@router.get("/api/sessions/{session_id}/history", dependencies=READ, responses=problems(404))
def get_history(session_id: SessionId, run: Run) -> Page[TransitionAnswer]:
    """Every step of a session's life, oldest first; always all of them."""
    steps = run.sessions.history(session_id)
    return Page(items=[TransitionAnswer.of(step) for step in steps], next_cursor=None)
