"""Tracks, segments and coverage on the wire."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, Field

from longtake.model.coverage import Cause, Coverage
from longtake.model.lifecycle import Permission, TrackHealth, TrackState
from longtake.model.session import Receipt, Retried, Segment, SegmentStatus, Track, TrackKind
from longtake.wire.base import (
    Answer,
    Count,
    GivenTime,
    Identifier,
    Request,
    Text,
    Time,
    Word,
    moment,
    moment_or_none,
)


class TrackRequest(Request):
    """Declares a track."""

    kind: TrackKind
    participant_id: Identifier | None = None
    device_id: Identifier | None = None
    name: Word | None = None
    started_at: GivenTime | None = None
    expected_segments: Count | None = None


class Metrics(Answer):
    """What a recorder counts."""

    items_recorded: int = 0
    dropped_items: int = 0
    average_latency_ms: float = 0
    last_activity: Time | None = None
    error_count: int = 0


class MetricsReport(Request):
    """What a recorder reports of its counts; what it leaves out stays as it was."""

    items_recorded: Count | None = None
    dropped_items: Count | None = None
    average_latency_ms: Annotated[float, Field(ge=0, le=1e9)] | None = None
    last_activity: GivenTime | None = None
    error_count: Count | None = None


def _permission(said: object) -> object:
    """True and false as their words."""
    if isinstance(said, bool):
        return Permission.GRANTED if said else Permission.DENIED
    return said


Granted = Annotated[
    Permission,
    BeforeValidator(_permission, json_schema_input_type=Permission | bool),
]


class TrackStatusRequest(Request):
    """A recorder's heartbeat; what it leaves out stays as it was, but for `error`.

    `permissions` are all that it asked for: `granted` (or true), `denied` (or false), `prompt` while somebody is asked.
    """

    state: TrackState | None = None
    health: TrackHealth | None = None
    metrics: MetricsReport | None = None
    permissions: Annotated[dict[Word, Granted], Field(max_length=20)] | None = None
    error: Annotated[Text, Field(max_length=1000)] | None = None


class TrackAnswer(Answer):
    """A track."""

    id: str
    kind: TrackKind
    participant_id: str | None
    device_id: str | None
    name: str | None
    state: TrackState
    health: TrackHealth
    metrics: Metrics
    permissions: dict[str, Permission] | None
    reported_at: Time | None
    error: str | None
    started_at: Time | None
    expected_segments: int | None
    segments: int
    duration_ms: int

    @classmethod
    def of(cls, track: Track) -> Self:
        """From the model."""
        return cls(
            id=track.id,
            kind=track.kind,
            participant_id=track.participant_id,
            device_id=track.device_id,
            name=track.name,
            state=track.state,
            health=track.health,
            metrics=Metrics.model_validate(_counted(track) | dict(track.metrics)),
            permissions=None if track.permissions is None else dict(track.permissions),
            reported_at=moment_or_none(track.reported_at_ms),
            error=track.error,
            started_at=None if track.started_at_ms is None else moment(track.started_at_ms),
            expected_segments=track.expected_segments,
            segments=track.counts.total,
            duration_ms=track.length_ns // 1_000_000,
        )


class SegmentError(Answer):
    """Why a segment failed, or what was wrong with it."""

    code: str
    detail: str


class SegmentAnswer(Answer):
    """A segment. Times are on the session's media timeline; those of the recorder until it is decoded."""

    id: str
    track_id: str
    index: int
    status: SegmentStatus
    error: SegmentError | None
    attempts: int
    start_ms: int | None
    duration_ms: int | None
    size_bytes: int
    sha256: str
    mime_type: str | None
    stored_at: Time
    is_silent: bool | None
    noise_dbfs: float | None
    speaker_confidence: float | None
    transcription: str | None

    @classmethod
    def of(cls, segment: Segment, transcription: str | None) -> Self:
        """From the model, with what was said in it."""
        placed = segment.placed()
        return cls(
            id=segment.id,
            track_id=segment.track_id,
            index=segment.index,
            status=segment.status,
            error=(
                None
                if segment.error_code is None
                else SegmentError(code=segment.error_code, detail=segment.error_detail or "")
            ),
            attempts=segment.attempts,
            start_ms=segment.start_ms if placed is None else placed.start_ns // 1_000_000,
            duration_ms=segment.duration_ms if placed is None else (placed.end_ns - placed.start_ns) // 1_000_000,
            size_bytes=segment.size_bytes,
            sha256=segment.sha256,
            mime_type=segment.mime_type,
            stored_at=moment(segment.stored_at_ms),
            is_silent=segment.is_silent,
            noise_dbfs=segment.noise_dbfs,
            speaker_confidence=segment.speaker_confidence,
            transcription=transcription,
        )


class ReceiptAnswer(Answer):
    """The segment is durable: its sender may forget it."""

    segment_id: str
    index: int
    sha256: str
    size_bytes: int
    stored_at: Time
    status: SegmentStatus

    @classmethod
    def of(cls, receipt: Receipt) -> Self:
        """From the model; one for each segment, so it is not checked what is known."""
        return cls.model_construct(
            segment_id=receipt.segment_id,
            index=receipt.index,
            sha256=receipt.sha256,
            size_bytes=receipt.size_bytes,
            stored_at=moment(receipt.stored_at_ms),
            status=receipt.status,
        )


class GapAnswer(Answer):
    """A stretch without sound where there should be some, and why."""

    start_ms: int
    end_ms: int
    cause: Cause


class TrackCoverageAnswer(Answer):
    """What a track should have, and has.

    `missing` are the indices that never arrived, `damaged` those that could be decoded only in part.
    """

    track_id: str
    kind: TrackKind
    expected_ms: int
    stored_ms: int
    gaps: list[GapAnswer]
    missing: list[int]
    damaged: list[int]

    @classmethod
    def of(cls, track: Track, coverage: Coverage) -> Self:
        """From the model."""
        return cls(
            track_id=track.id,
            kind=track.kind,
            expected_ms=coverage.expected_ms,
            stored_ms=coverage.stored_ms,
            gaps=[GapAnswer(start_ms=gap.start_ms, end_ms=gap.end_ms, cause=gap.cause) for gap in coverage.gaps],
            missing=list(coverage.missing),
            damaged=list(coverage.damaged),
        )


class CoverageAnswer(Answer):
    """Every track of sound with its gaps."""

    tracks: list[TrackCoverageAnswer]


class RetryAnswer(Answer):
    """What was set going again; of many sessions, `error` is why one was not."""

    session_id: str
    segments: int
    job_id: str | None
    error: str | None = None

    @classmethod
    def of(cls, retried: Retried) -> RetryAnswer:
        return cls(session_id=retried.session_id, segments=retried.segments, job_id=retried.job_id, error=retried.error)


class RetriesAnswer(Answer):
    """What was set going again, session by session."""

    items: list[RetryAnswer]


def _counted(track: Track) -> dict[str, object]:
    """What the server itself knows of a track whose recorder does not say."""
    return {"items_recorded": track.counts.total, "last_activity": moment_or_none(track.heard_at_ms)}


def reported(metrics: MetricsReport) -> dict[str, object]:
    """The counts that a recorder did report, as plain JSON values."""
    return metrics.model_dump(mode="json", exclude_none=True)
