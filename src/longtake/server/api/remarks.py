"""What people add to a session: markers, its phase; and everything in it by time."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from longtake.model.remarks import ItemKind
from longtake.server.api.common import READ, WRITE, Cursor, Limit, SessionId, Writer, problems
from longtake.server.routing import ApiRoute, Run
from longtake.sessions.remarks import Phases
from longtake.wire.base import MAX_MS, Page
from longtake.wire.remarks import (
    ItemAnswer,
    MarkerAnswer,
    MarkerRequest,
    PhaseAnswer,
    PhaseChangeAnswer,
    PhaseRequest,
)

router = APIRouter(route_class=ApiRoute, tags=["remarks"])

FromMs = Annotated[int, Query(ge=0, le=MAX_MS, description="What begins at or after.")]
ToMs = Annotated[int | None, Query(ge=0, le=MAX_MS, description="What begins before.")]


@router.post(
    "/api/sessions/{session_id}/markers",
    status_code=201,
    dependencies=WRITE,
    responses=problems(404, 409, 413, 422, 507),
)
def add_marker(session_id: SessionId, run: Run, caller: Writer, body: MarkerRequest | None = None) -> MarkerAnswer:
    """Flag a moment: without `at_ms` it is now, on the session's media timeline."""
    body = body or MarkerRequest()
    return MarkerAnswer.of(run.remarks.mark(session_id, at_ms=body.at_ms, label=body.label, author=caller.actor))


@router.get("/api/sessions/{session_id}/markers", dependencies=READ, responses=problems(404, 422))
def list_markers(session_id: SessionId, run: Run, limit: Limit = 50, cursor: Cursor = None) -> Page[MarkerAnswer]:
    """The markers, by media time."""
    page, following = run.remarks.markers(session_id, limit=limit, cursor=cursor)
    return Page(items=[MarkerAnswer.of(one) for one in page], next_cursor=following)


@router.delete(
    "/api/sessions/{session_id}/markers/{marker_id}",
    status_code=204,
    dependencies=WRITE,
    responses=problems(404, 409, 507),
)
def delete_marker(
    session_id: SessionId, marker_id: Annotated[str, Path(max_length=64, description="The marker's id.")], run: Run
) -> None:
    """Remove a marker."""
    run.remarks.unmark(session_id, marker_id)


@router.get("/api/sessions/{session_id}/phase", dependencies=READ, responses=problems(404))
def get_phase(session_id: SessionId, run: Run) -> PhaseAnswer:
    """The phase that the session is in, and how it got there."""
    return _phases(run.remarks.phases(session_id))


@router.put("/api/sessions/{session_id}/phase", dependencies=WRITE, responses=problems(404, 409, 413, 422, 507))
def set_phase(session_id: SessionId, run: Run, caller: Writer, body: PhaseRequest) -> PhaseAnswer:
    """Move the session into a phase. Twice is once."""
    return _phases(run.remarks.set_phase(session_id, body.phase, actor=caller.actor))


@router.get("/api/sessions/{session_id}/timeline", dependencies=READ, responses=problems(404, 422))
def list_timeline(
    session_id: SessionId,
    run: Run,
    from_ms: FromMs = 0,
    to_ms: ToMs = None,
    # the framework copies what is given where nothing is asked
    kinds: Annotated[list[ItemKind], Query(max_length=20, description="Which; all, if none is named.")] = [],  # noqa: B006
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ItemAnswer]:
    """Everything that begins in [from_ms, to_ms), in order: what was said, chapters, tasks, markers, phases, gaps."""
    page, following = run.remarks.timeline(
        session_id, kinds=kinds, from_ms=from_ms, to_ms=to_ms, limit=limit, cursor=cursor
    )
    return Page(items=[ItemAnswer.of(one) for one in page], next_cursor=following)


def _phases(found: Phases) -> PhaseAnswer:
    return PhaseAnswer(
        phase=found.phase,
        phases=list(found.phases),
        history=[PhaseChangeAnswer.of(change) for change in found.history],
    )
