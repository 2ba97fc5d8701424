"""Sessions: create, list, read, change, trash, restore."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from longtake.model.lifecycle import SessionState
from longtake.model.session import ProcessingStatus, Session
from longtake.runtime import Runtime
from longtake.server.api.common import DELETE, READ, WRITE, Cursor, Limit, SessionId, Writer, as_json, problems
from longtake.server.routing import ApiRoute, Run, Views
from longtake.sessions.manager import NewSession
from longtake.storage.catalog import library
from longtake.storage.catalog.library import Filter, Sort
from longtake.storage.search import MAX_QUERY, parse
from longtake.wire.base import GivenTime, milliseconds
from longtake.wire.sessions import (
    SegmentStatusAnswer,
    SessionAnswer,
    SessionChange,
    SessionItem,
    SessionRequest,
    SessionsAnswer,
)

router = APIRouter(route_class=ApiRoute, tags=["sessions"])

MAX_STATUSES = 100


@router.post("/api/sessions", status_code=201, dependencies=WRITE, responses=problems(413, 422, 507))
def create_session(run: Run, caller: Writer, views: Views, body: SessionRequest | None = None) -> SessionAnswer:
    """Create a session; everything has a default."""
    body = body or SessionRequest()
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
            device_id=body.device_id or caller.device_id,
            participant=body.participant,
            agent=body.agent,
            on_leave=body.on_leave,
        ),
        actor=caller.actor,
    )
    return views.of(session)


@router.get("/api/sessions", response_model=SessionsAnswer, dependencies=READ, responses=problems(422))
def list_sessions(
    run: Run,
    # the framework copies what is given where nothing is asked
    state: Annotated[list[SessionState], Query(max_length=20, description="In one of these states.")] = [],  # noqa: B006
    processing: Annotated[list[ProcessingStatus], Query(max_length=10, description="With one of these.")] = [],  # noqa: B006
    since: Annotated[GivenTime | None, Query(description="Created at or after.")] = None,
    until: Annotated[GivenTime | None, Query(description="Created before.")] = None,
    tag: Annotated[str | None, Query(max_length=100, description="With this tag.")] = None,
    topic: Annotated[str | None, Query(max_length=100, description="With this topic.")] = None,
    device_id: Annotated[str | None, Query(max_length=64, description="Of this device, or recorded by it.")] = None,
    owner_id: Annotated[str | None, Query(max_length=64, description="Of this owner.")] = None,
    participant: Annotated[str | None, Query(max_length=100, description="Name or id.")] = None,
    q: Annotated[str | None, Query(max_length=MAX_QUERY, description="Full text, as in `/api/search`.")] = None,
    id_prefix: Annotated[str | None, Query(max_length=36, description="How the id begins.")] = None,
    trashed: Annotated[bool, Query(description="Those in the trash, instead of the others.")] = False,
    sort: Annotated[Sort, Query(description="The order; `-` is downwards.")] = Sort.NEWEST,
    limit: Limit = 50,
    cursor: Cursor = None,
    expand: Annotated[Literal["segments"] | None, Query(description="What is shown besides.")] = None,
) -> Response:
    """List sessions that fit in every way, the newest first.

    `active_sessions` and `session_ids` are about all that fit, not only this page: how many are being recorded, and the
    ids of the newest 500. `expand=segments` adds the statuses of each session's first 100 segments.
    """
    wanted = Filter(
        states=state,
        processing=processing,
        since_ms=None if since is None else milliseconds(since),
        until_ms=None if until is None else milliseconds(until),
        tag=tag,
        topic=topic,
        device_id=device_id,
        owner_id=owner_id,
        participant=participant,
        query=None if q is None else parse(q),
        id_prefix=None if id_prefix is None else id_prefix.lower(),
        in_trash=trashed,
    )
    with run.store.db.read() as c:
        found, following = library.list_sessions(c, wanted, sort=sort, limit=limit, cursor=cursor)
        active = library.count_active(c, wanted)
        ids = library.list_ids(c, wanted)
    answer = SessionsAnswer(
        items=[_item(run, session, with_segments=expand == "segments") for session in found],
        next_cursor=following,
        active_sessions=active,
        session_ids=ids,
    )
    return as_json(answer)


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


@router.delete("/api/sessions/{session_id}", status_code=204, dependencies=DELETE, responses=problems(404, 422, 507))
def delete_session(
    session_id: SessionId,
    run: Run,
    purge: Annotated[bool, Query(description="For good and at once, with all that was made of it.")] = False,
) -> None:
    """Move a session to the trash, from where it can be restored for some time. Twice is once."""
    if purge:
        run.deletion.purge(session_id)
    else:
        run.sessions.trash(session_id)


@router.delete("/api/sessions/{session_id}/audio", dependencies=DELETE, responses=problems(404, 409, 507))
def delete_audio(session_id: SessionId, run: Run, views: Views) -> SessionAnswer:
    """Delete what was recorded in a session that has ended; transcript and all text stay. Twice is once."""
    return views.of(run.deletion.delete_audio(session_id))


@router.post("/api/sessions/{session_id}/restore", dependencies=DELETE, responses=problems(404, 507))
def restore_session(session_id: SessionId, run: Run, views: Views) -> SessionAnswer:
    """Take a session out of the trash. Twice is once."""
    return views.of(run.sessions.restore(session_id))


def _item(run: Runtime, session: Session, *, with_segments: bool) -> SessionItem:
    item = SessionItem.of(session)
    if not with_segments:
        return item
    page, _ = run.sessions.segments(session.id, limit=MAX_STATUSES)
    statuses = [
        SegmentStatusAnswer(track_id=one.track_id, index=one.index, status=one.status, error=one.error_code)
        for one in page
    ]
    return item.model_copy(update={"segment_statuses": statuses})
