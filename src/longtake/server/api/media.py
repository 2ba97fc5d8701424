"""The mix's balance and waveforms. The sound itself is sent by `server.streams`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from longtake.enrichment.playback import AUDIO
from longtake.model.errors import Invalid
from longtake.server.api.common import READ, WRITE, SessionId, problems
from longtake.server.routing import ApiRoute, Run
from longtake.wire.base import MAX_MS
from longtake.wire.media import MixAnswer, MixRequest, WaveformAnswer

router = APIRouter(route_class=ApiRoute, tags=["media"])
Moment = Annotated[int, Field(ge=0, le=MAX_MS)]


@router.put("/api/sessions/{session_id}/mix", dependencies=WRITE, responses=problems(404, 409, 410, 413, 422, 507))
def set_mix(session_id: SessionId, run: Run, body: MixRequest) -> MixAnswer:
    """Set the mix between microphone (0) and system (1): from now on while recording, afterwards for all of it."""
    session = run.sessions.set_balance(session_id, body.balance)
    return MixAnswer(balance=session.balance[-1][1])


@router.get("/api/sessions/{session_id}/waveform", dependencies=READ, responses=problems(404, 409, 410, 422))
def get_waveform(
    session_id: SessionId,
    run: Run,
    track: Annotated[str | None, Query(max_length=64, description="A track's id; without: the mix.")] = None,
    from_ms: Annotated[Moment, Query(description="Where it begins.")] = 0,
    to_ms: Annotated[Moment | None, Query(description="Where it ends; without: at the end.")] = None,
    points: Annotated[int, Query(ge=1, le=10_000, description="How many pairs at most.")] = 1000,
) -> WaveformAnswer:
    """Peaks for drawing, of what is there so far."""
    if to_ms is not None and to_ms < from_ms:
        raise Invalid("to_ms lies before from_ms")
    found = run.playback.waveform(session_id, track or AUDIO, from_ms=from_ms, to_ms=to_ms, points=points)
    return WaveformAnswer(from_ms=found.from_ms, to_ms=found.to_ms, duration_ms=found.duration_ms, peaks=found.peaks)
