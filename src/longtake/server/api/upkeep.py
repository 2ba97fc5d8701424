"""The clean-up by hand."""

from __future__ import annotations

from fastapi import APIRouter

from longtake.server.api.common import ADMINISTER, Administrator, problems
from longtake.server.routing import ApiRoute, Run
from longtake.server.views import cleaned_up
from longtake.wire.upkeep import CleanUpAnswer, CleanUpRequest

router = APIRouter(route_class=ApiRoute, tags=["operation"])
MS_PER_MINUTE = 60_000


@router.post("/api/cleanup", dependencies=ADMINISTER, responses=problems(413, 422, 507))
def clean_up(run: Run, caller: Administrator, body: CleanUpRequest | None = None) -> CleanUpAnswer:
    """End and enrich the sessions that lie idle, put the empty ones into the trash; also done every hour.

    What is being recorded is left alone, and nothing that was acknowledged is deleted.
    """
    idle_ms = None if body is None or body.idle_minutes is None else body.idle_minutes * MS_PER_MINUTE
    return cleaned_up(run.upkeep.clean_up(idle_ms=idle_ms, actor=caller.actor))
