"""What the resources share: parameters of lists, and the problems that an operation may answer with."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Query, Response

from longtake.access import Action, Caller
from longtake.server.security import Allow
from longtake.wire.base import Answer

Limit = Annotated[int, Query(ge=1, le=500, description="How many at most.")]
Cursor = Annotated[str | None, Query(max_length=3000, description="`next_cursor` of the page before.")]
SessionId = Annotated[str, Path(max_length=64, description="The session's id.")]
AttachmentId = Annotated[str, Path(max_length=64, description="The id of the segment whose bytes they are.")]
TrackId = Annotated[str, Path(max_length=64, description="The track's id.")]
Index = Annotated[int, Path(ge=0, lt=10**6, description="The segment's number on its track, from 0.")]

READ = [Depends(Allow(Action.READ))]
WRITE = [Depends(Allow(Action.WRITE))]
RECORD = [Depends(Allow(Action.RECORD))]
DELETE = [Depends(Allow(Action.DELETE))]
ADMINISTER = [Depends(Allow(Action.ADMINISTER))]

Writer = Annotated[Caller, Depends(Allow(Action.WRITE))]
Recorder = Annotated[Caller, Depends(Allow(Action.RECORD))]
Administrator = Annotated[Caller, Depends(Allow(Action.ADMINISTER))]
"""Who asks to write, to record, to administer."""


def as_json(answer: Answer) -> Response:
    """A long answer as it is: the framework would check it again, and write it twice."""
    return Response(answer.model_dump_json(), media_type="application/json")


PROBLEMS = {
    400: "The request cannot be read.",
    404: "There is no such thing: `…_not_found`.",
    409: "It contradicts what is stored: `illegal_transition`, `conflict`, `trashed`, `job_active`, `not_ready`, …",
    410: "The session's recordings have been deleted: `audio_deleted`.",
    412: "It is no longer what `If-Match` names: `precondition_failed`.",
    413: "More bytes than allowed: `too_large`.",
    415: "Not a kind of media that is taken: `unsupported_media`.",
    416: "The range begins behind the end: `range_not_satisfiable`.",
    422: "The request does not make sense: `invalid_request`, `digest_mismatch`, `idempotency_key_reused`, …",
    429: "More arrives than can be stored: `overloaded`. Send it again.",
    503: "Not now: `unavailable`, `storage_failed`. Send it again.",
    507: "The disk is full: `storage_full`. Nothing was stored.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What an operation may answer instead, for the OpenAPI document."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": PROBLEMS[status], "content": content} for status in statuses}
