"""Sessions: create, list, read, change, trash, restore."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from longtake.model.lifecycle import SessionState
from longtake.model.session import ProcessingStatus, Session
from longtake.runtime import Runtime
from longtake.server.api.common import DELETE, READ, WRITE, Cursor, Limit, SessionId, problems
from longtake.server.routing import ApiRoute, Run, Views
from longtake.sessions.manager import NewSession
from longtake.storage.catalog import figures
from longtake.storage.catalog.sessions import Filter, encode_cursor
from longtake.wire.base import Time, milliseconds
from longtake.wire.sessions import (
    SegmentStatusAnswer,
    SessionAnswer,
    SessionChange,
    SessionItem,
    SessionRequest,
    SessionsAnswer,
)

router = APIRouter(route_class=ApiRoute, tags=["sessions"])

MAX_SCANNED = 5000
"""Rows that one request looks through for a filter that is no column; the cursor goes on from there."""
MAX_STATUSES = 100


@router.post("/api/sessions", status_code=201, dependencies=WRITE, responses=problems(413, 422, 507))
def create_session(run: Run, views: Views, body: SessionRequest) -> SessionAnswer:
    """Create a session."""
    session = run.sessions.create(
        NewSession(
            title=body.title,
            description=body.description,
            tags=body.tags,
            topics=body.topics,
            mode=body.mode,
            recording_type=body.recording_type,
            recording_config=body.recording_config.model_dump(mode="json"),
            expected_segments=body.expected_segments,
            phases=body.phases,
            device_id=body.device_id,
            participant=body.participant,
            agent=body.agent,
            on_leave=body.on_leave,
        )
    )
    return views.of(session)


@router.get("/api/sessions", dependencies=READ, responses=problems(422))
def list_sessions(
    run: Run,
    state: Annotated[list[SessionState], Query(max_length=20)] = [],  # noqa: B006 (the framework copies it)
    processing: Annotated[list[ProcessingStatus], Query(max_length=10)] = [],  # noqa: B006
    since: Annotated[Time | None, Query(description="Created at or after.")] = None,
    until: Annotated[Time | None, Query(description="Created before.")] = None,
    tag: Annotated[str | None, Query(max_length=100)] = None,
    topic: Annotated[str | None, Query(max_length=100)] = None,
    device_id: Annotated[str | None, Query(max_length=64)] = None,
    participant: Annotated[str | None, Query(max_length=100, description="Name or id.")] = None,
    trashed: Annotated[bool, Query(description="Those in the trash, instead of the others.")] = False,
    sort: Literal["newest"] = "newest",
    limit: Limit = 50,
    cursor: Cursor = None,
    expand: Literal["segments"] | None = None,
) -> SessionsAnswer:
    """List sessions, newest first.

    `expand=segments` adds the statuses of each session's first 100 segments. `processing` and `topic` are looked for in
    up to 5,000 sessions at a time: a page may be short and still have a `next_cursor`.
    """
    del sort
    wanted = Filter(
        states=state,
        since_ms=None if since is None else milliseconds(since),
        until_ms=None if until is None else milliseconds(until),
        tag=tag,
        device_id=device_id,
        participant=participant,
        in_trash=trashed,
    )

    def fits(session: Session) -> bool:
        return (not processing or session.processing in processing) and (topic is None or topic in session.topics)

    found, following = _page(run, wanted, fits, limit=limit, cursor=cursor, is_plain=not processing and topic is None)
    with run.store.db.read() as c:
        active = figures.active_count(c)
    return SessionsAnswer(
        items=[_item(run, session, with_segments=expand == "segments") for session in found],
        next_cursor=following,
        active_sessions=active,
        session_ids=[session.id for session in found],
    )


@router.get("/api/sessions/{session_id}", dependencies=READ, responses=problems(404))
def get_session(session_id: SessionId, views: Views) -> SessionAnswer:
    """A session's metadata, below 10 KB however long it is."""
    return views.get(session_id)


@router.patch("/api/sessions/{session_id}", dependencies=WRITE, responses=problems(404, 409, 413, 422, 507))
def change_session(session_id: SessionId, run: Run, views: Views, body: SessionChange) -> SessionAnswer:
    """Change title, description, tags or topics."""
    return views.of(
        run.sessions.change(
            session_id, title=body.title, description=body.description, tags=body.tags, topics=body.topics
        )
    )


@router.delete("/api/sessions/{session_id}", status_code=204, dependencies=DELETE, responses=problems(404, 507))
def delete_session(session_id: SessionId, run: Run) -> None:
    """Move a session to the trash, from where it can be restored. Twice is once."""
    run.sessions.trash(session_id)


@router.post("/api/sessions/{session_id}/restore", dependencies=DELETE, responses=problems(404, 507))
def restore_session(session_id: SessionId, run: Run, views: Views) -> SessionAnswer:
    """Take a session out of the trash. Twice is once."""
    return views.of(run.sessions.restore(session_id))


def _page(
    run: Runtime,
    wanted: Filter,
    fits: Callable[[Session], bool],
    *,
    limit: int,
    cursor: str | None,
    is_plain: bool,
) -> tuple[list[Session], str | None]:
    """A page of the sessions that fit, and where to go on."""
    if is_plain:
        return run.sessions.page(wanted, limit=limit, cursor=cursor)
    found: list[Session] = []
    for _ in range(0, MAX_SCANNED, 500):
        page, cursor = run.sessions.page(wanted, limit=500, cursor=cursor)
        for number, session in enumerate(page):
            if fits(session):
                found.append(session)
            if len(found) == limit:
                is_last = cursor is None and number == len(page) - 1
                return found, None if is_last else encode_cursor(session.created_at_ms, session.id)
        if cursor is None:
            break
    return found, cursor


def _item(run: Runtime, session: Session, *, with_segments: bool) -> SessionItem:
    item = SessionItem.model_validate(SessionAnswer.of(session).model_dump())
    if not with_segments:
        return item
    page, _ = run.sessions.segments(session.id, limit=MAX_STATUSES)
    statuses = [
        SegmentStatusAnswer(track_id=one.track_id, index=one.index, status=one.status, error=one.error_code)
        for one in page
    ]
    return item.model_copy(update={"segment_statuses": statuses})
