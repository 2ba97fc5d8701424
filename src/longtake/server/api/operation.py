"""Figures and health."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.requests import Request
from starlette.responses import Response

from longtake.model.lifecycle import RECORDING
from longtake.model.session import ProcessingStatus
from longtake.runtime import Runtime
from longtake.server.api.common import ADMINISTER, READ, problems
from longtake.server.metrics import CONTENT_TYPE, Metrics
from longtake.server.routing import ApiRoute, Run
from longtake.server.views import collected
from longtake.storage.catalog import figures
from longtake.wire.attachments import CollectAnswer, CollectRequest
from longtake.wire.jobs import QueueAnswer
from longtake.wire.media import HealthAnswer, SessionFigures, StatsAnswer, StorageFigures

router = APIRouter(route_class=ApiRoute, tags=["operation"])
UNWELL: dict[int | str, dict[str, Any]] = {503: {"model": HealthAnswer, "description": "It is not; see `problems`."}}


@router.get("/api/stats", dependencies=READ)
def get_stats(run: Run) -> StatsAnswer:
    """Figures over everything."""
    with run.store.db.read() as c:
        found = figures.gather(c)
    free = shutil.disk_usage(run.settings.data).free
    total = sum(found.bytes_by_store.values())
    return StatsAnswer(
        sessions=SessionFigures(
            total=sum(found.by_state.values()),
            active=sum(count for state, count in found.by_state.items() if state in RECORDING),
            by_state={state.value: count for state, count in found.by_state.items()},
            by_processing={state.value: found.by_processing.get(state, 0) for state in ProcessingStatus},
        ),
        recorded_ms=found.recorded_ms,
        storage=StorageFigures(
            total_bytes=total,
            by_kind=dict(found.bytes_by_store),
            free_bytes=free,
            hours_left=run.room.now().hours_left,
        ),
        queue=QueueAnswer.of(dict(found.jobs), run.settings.job_workers),
        devices=found.devices,
    )


@router.get("/metrics", dependencies=ADMINISTER, response_class=PlainTextResponse)
def get_metrics(request: Request) -> Response:
    """Figures for Prometheus; see the reference for what they are."""
    metrics: Metrics = request.app.state.metrics
    return Response(metrics.render(), media_type=CONTENT_TYPE)


@router.post("/api/gc", dependencies=ADMINISTER, responses=problems(413, 422, 503, 507))
def collect_garbage(run: Run, body: CollectRequest | None = None) -> CollectAnswer:
    """Remove stored bytes that nothing has referred to for some time."""
    wanted = body or CollectRequest()
    return collected(run.collector.collect(wanted.older_than // timedelta(milliseconds=1), dry_run=wanted.dry_run))


@router.get("/healthz", response_model=HealthAnswer, responses=UNWELL)
def check_health(run: Run) -> JSONResponse:
    """Whether everything that should run does; 503 means: start it anew."""
    return _answer(_problems(run))


@router.get("/readyz", response_model=HealthAnswer, responses=UNWELL)
def check_readiness(run: Run) -> JSONResponse:
    """Whether requests can be served: it is well, and the database answers."""
    problems = _problems(run)
    with run.store.db.read() as c:
        figures.active_count(c)
    return _answer(problems)


def _problems(run: Runtime) -> list[str]:
    problems = []
    if not run.receiver.is_alive:
        problems.append("the thread that stores segments has ended")
    if run.engine is not None and not run.lanes.is_alive:
        problems.append("the thread that starts work has ended")
    if run.engine is not None and not run.rounds.is_alive:
        problems.append("a thread that looks after sessions has ended")
    return problems


def _answer(problems: list[str]) -> JSONResponse:
    answer = HealthAnswer(status="unwell" if problems else "ok", problems=problems)
    return JSONResponse(answer.model_dump(mode="json"), status_code=503 if problems else 200)
