"""A request of each kind, as the OpenAPI document shows it: valid, for it is one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from longtake.model.lifecycle import Permission, TrackHealth, TrackState
from longtake.model.session import Priority, ProcessingStatus, TrackKind
from longtake.wire.attachments import CollectRequest
from longtake.wire.base import Request
from longtake.wire.jobs import EnrichRequest
from longtake.wire.library import BulkRequest
from longtake.wire.media import MixRequest
from longtake.wire.remarks import MarkerRequest, PhaseRequest, SummaryRequest
from longtake.wire.sessions import AnnouncedTrack, BulkRetryRequest, EndRequest, SessionChange, SessionRequest
from longtake.wire.tracks import MetricsReport, TrackRequest, TrackStatusRequest
from longtake.wire.transcript import CorrectionRequest, EntryRequest, RenameRequest
from longtake.wire.upkeep import CleanUpRequest

ID = "3f6c1a52-8d0e-4b7a-9c55-1e2f6a7b8c9d"
AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)

EXAMPLES: tuple[Request, ...] = (
    SessionRequest(title="Interview with Ana", tags=("bees",), participant="Ana", phases=("warm-up", "interview")),
    SessionChange(title="Interview with Ana, second part", tags=("bees", "honey")),
    EndRequest(tracks=(AnnouncedTrack(track_id=ID, segments=36, duration_ms=180_000),)),
    TrackRequest(kind=TrackKind.MICROPHONE, name="Ana", started_at=AT),
    TrackStatusRequest(
        state=TrackState.ACTIVE,
        health=TrackHealth.HEALTHY,
        metrics=MetricsReport(items_recorded=36, dropped_items=0, average_latency_ms=12, last_activity=AT),
        permissions={"microphone": Permission.GRANTED},
    ),
    MixRequest(balance=0.5),
    EntryRequest(speaker="Ana", text="The hive was empty.", start_ms=61_000, end_ms=63_500),
    CorrectionRequest(text="The hives were empty."),
    RenameRequest(name="Ana"),
    MarkerRequest(at_ms=61_000, label="Ask again"),
    PhaseRequest(phase="interview"),
    SummaryRequest(summary="Why the hives were empty in spring."),
    EnrichRequest(priority=Priority.HIGH, max_cost_usd=0.5),
    BulkRequest(session_ids=(ID,), action="tag", tags=("bees",)),
    BulkRetryRequest(processing=ProcessingStatus.COMPLETED_WITH_ERRORS),
    CollectRequest(older_than=timedelta(hours=24), dry_run=True),
    CleanUpRequest(idle_minutes=60),
)
