"""The same for many sessions at once, with an answer for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastapi import APIRouter

from longtake.access import Action, Caller, authorise
from longtake.model.errors import Invalid, LongtakeError
from longtake.runtime import Runtime
from longtake.server.api.common import WRITE, Writer, problems
from longtake.server.routing import ApiRoute, Run
from longtake.wire.library import BulkAnswer, BulkItem, BulkRequest

router = APIRouter(route_class=ApiRoute, tags=["library"])

Command = Callable[[Runtime, str, BulkRequest, Caller], object]
COMMANDS: Mapping[str, tuple[Action, Command]] = {
    "trash": (Action.DELETE, lambda run, key, *_: run.sessions.trash(key)),
    "restore": (Action.DELETE, lambda run, key, *_: run.sessions.restore(key)),
    "purge": (Action.DELETE, lambda run, key, *_: run.deletion.purge(key)),
    "delete_audio": (Action.DELETE, lambda run, key, *_: run.deletion.delete_audio(key)),
    "tag": (Action.WRITE, lambda run, key, body, _: run.sessions.retag(key, add=body.tags)),
    "untag": (Action.WRITE, lambda run, key, body, _: run.sessions.retag(key, remove=body.tags)),
    "retry": (Action.WRITE, lambda run, key, *_: run.work.retry_session(key)),
    "end": (Action.RECORD, lambda run, key, _, caller: run.lifecycle.end(key, actor=caller.actor)),
}
"""By the action in the request: what the caller must be allowed to do to each session, and how it is done."""


@router.post("/api/sessions/bulk", dependencies=WRITE, responses=problems(413, 422, 507))
def change_sessions(run: Run, caller: Writer, body: BulkRequest) -> BulkAnswer:
    """Do the same with many sessions, each on its own: what is wrong with one stops no other and is in its answer."""
    if bool(body.tags) != (body.action in ("tag", "untag")):
        raise Invalid("tags belong to the actions tag and untag")
    return BulkAnswer(items=[_done(run, caller, key, body) for key in dict.fromkeys(body.session_ids)])


def _done(run: Runtime, caller: Caller, session_id: str, body: BulkRequest) -> BulkItem:
    action, command = COMMANDS[body.action]
    try:
        authorise(caller, action, session_id)
        command(run, session_id, body, caller)
    except LongtakeError as error:
        return BulkItem(session_id=session_id, ok=False, error=error.code, detail=error.detail)
    return BulkItem(session_id=session_id, ok=True)
