"""Sessions on the wire. However long a session grows, its metadata stays under `MAX_METADATA_BYTES`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, Field

from longtake.model.lifecycle import JobState, SessionState
from longtake.model.session import (
    SCHEMA_VERSION,
    UPLOAD,
    Mode,
    Participant,
    ProcessingStatus,
    SegmentStatus,
    Session,
    Track,
)
from longtake.wire.agent import Agent, shown_agent
from longtake.wire.base import (
    Answer,
    Count,
    Description,
    Identifier,
    Milliseconds,
    Request,
    Time,
    Title,
    Word,
    moment,
    moment_or_none,
)
from longtake.wire.tracks import TrackAnswer

MAX_METADATA_BYTES = 10_000
MAX_ERROR = 200
"""Characters of an error here; the track or the job has all of it."""
MAX_LISTED = {"errors": 20, "participants": 50, "tracks": 50}
CUTTABLE = ("tracks", "participants", "errors", "tags", "topics", "phases", "task_ids")
STATUS_OF_JOB = {
    JobState.PENDING: "in-progress",
    JobState.PROCESSING: "in-progress",
    JobState.COMPLETED: "completed",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}


def _not_an_import(recording_type: str) -> str:
    if recording_type == UPLOAD:
        raise ValueError(f"{UPLOAD!r} is the type of a file that is sent to /api/imports")
    return recording_type


Words = Annotated[tuple[Word, ...], Field(max_length=50)]
RecordingType = Annotated[
    Identifier, AfterValidator(_not_an_import), Field(description=f"Any word but `{UPLOAD}`, which is an import's.")
]


class RecordingConfig(Request):
    """What is recorded."""

    audio: bool = True
    video: bool = False
    screenshots: bool = False
    source_type: Identifier | None = None
    display_ids: Annotated[tuple[Identifier, ...], Field(max_length=8)] = ()
    window_ids: Annotated[tuple[Identifier, ...], Field(max_length=8)] = ()


class RecordingConfigAnswer(Answer):
    """What is recorded, as it was said."""

    audio: bool = True
    video: bool = False
    screenshots: bool = False
    source_type: str | None = None
    display_ids: tuple[str, ...] = ()
    window_ids: tuple[str, ...] = ()


class SessionRequest(Request):
    """Creates a session; everything has a sensible default."""

    title: Title | None = None
    description: Description | None = None
    tags: Words = ()
    topics: Words = ()
    mode: Mode = Mode.SOLO
    recording_type: RecordingType = "segmented"
    recording_config: RecordingConfig = RecordingConfig()
    expected_segments: Count | None = None
    phases: Words = ()
    device_id: Identifier | None = None
    participant: Word | None = None
    agent: Agent | None = None
    on_leave: Literal["end", "keep"] = "keep"


class SessionChange(Request):
    """Changes a session's texts; what is left out, or null, stays as it is."""

    title: Title | None = None
    description: Description | None = None
    tags: Words | None = None
    topics: Words | None = None


class AnnouncedTrack(Request):
    """What a track should have at the end."""

    track_id: Identifier
    segments: Count | None = None
    duration_ms: Milliseconds | None = None


class EndRequest(Request):
    """What each track should have, so that a lost tail is seen."""

    tracks: Annotated[tuple[AnnouncedTrack, ...], Field(max_length=1000)] = ()


class BulkRetryRequest(Request):
    """Which sessions to process again: those named, or all with this processing status."""

    session_ids: Annotated[tuple[Identifier, ...], Field(max_length=500)] = ()
    processing: ProcessingStatus | None = None


class ParticipantAnswer(Answer):
    """A person (or agent) in a session."""

    id: str
    role: str
    name: str | None
    device_id: str | None

    @classmethod
    def of(cls, participant: Participant) -> Self:
        """From the model."""
        return cls(id=participant.id, role=participant.role, name=participant.name, device_id=participant.device_id)


class SegmentCounts(Answer):
    """Segments of all tracks by status; `expected` where recorders said how many there should be."""

    total: int
    pending: int
    processing: int
    completed: int
    failed: int
    expected: int | None


class Enrichment(Answer):
    """How far the latest job is."""

    status: Literal["idle", "in-progress", "completed", "failed", "cancelled"]
    job_id: str | None
    stage: str | None
    progress: int
    cost_usd: float
    estimated_cost_usd: float
    errors: list[str]


class CoverageSummary(Answer):
    """Of the longest track: expected and stored time; the gaps of all tracks."""

    expected_ms: int
    stored_ms: int
    gap_count: int


class SessionError(Answer):
    """Something that went wrong on a track or in the job."""

    source: Literal["track", "job"]
    id: str
    detail: str


class SessionRefs(Answer):
    """Where the rest is."""

    segments: str
    transcript: str
    summary: str
    chapters: str
    tasks: str
    notes: str
    audio: str
    artifacts: str
    timeline: str


class SessionAnswer(Answer):
    """A session's metadata. A list that was cut to keep it small has its length in `…_total`."""

    id: str
    title: str
    description: str | None
    schema_version: int
    mode: Mode
    recording_type: str
    state: SessionState
    processing: ProcessingStatus
    owner_id: str | None
    device_id: str | None
    created_at: Time
    started_at: Time | None
    paused_at: Time | None
    resumed_at: Time | None
    ended_at: Time | None
    completed_at: Time | None
    trashed_at: Time | None
    audio_deleted_at: Time | None = Field(description="Since then there are no recordings, only what was said.")
    last_activity_at: Time
    total_duration_ms: int
    tags: list[str]
    topics: list[str]
    task_ids: list[str]
    note_ids: list[str]
    errors: list[SessionError]
    participants: list[ParticipantAnswer]
    tracks: list[TrackAnswer]
    segment_counts: SegmentCounts
    recording_config: RecordingConfigAnswer
    phase: str | None
    phases: list[str]
    agent: dict[str, object] | None
    on_leave: str
    enrichment: Enrichment
    coverage: CoverageSummary | None = Field(description="Null in lists: ask for the session.")
    refs: SessionRefs
    tags_total: int
    topics_total: int
    phases_total: int
    task_ids_total: int
    errors_total: int
    participants_total: int
    tracks_total: int

    @classmethod
    def of(cls, session: Session, *, coverage: CoverageSummary | None = None, task_ids: Sequence[str] = ()) -> Self:
        """From the model, cut to fit."""
        return _fitted(_answer(cls, session, coverage, task_ids))


class RoomAnswer(Answer):
    """How long the disk has room for it; `warning` when that is less than was announced, or than an hour."""

    room_bytes: int
    bytes_per_hour: int
    minutes_left: float
    warning: str | None


class StartedAnswer(SessionAnswer):
    """A session that is being recorded."""

    storage: RoomAnswer

    @classmethod
    def of_started(
        cls, session: SessionAnswer, *, room_bytes: int, bytes_per_hour: int, minutes_left: float, warning: str | None
    ) -> StartedAnswer:
        """From a session's metadata and a forecast."""
        room = RoomAnswer(
            room_bytes=room_bytes, bytes_per_hour=bytes_per_hour, minutes_left=minutes_left, warning=warning
        )
        return cls(**dict(session), storage=room)


class SegmentStatusAnswer(Answer):
    """A segment's status in a list of sessions."""

    track_id: str
    index: int
    status: SegmentStatus
    error: str | None


class SessionItem(SessionAnswer):
    """A session in a list; `segment_statuses` with `expand=segments`."""

    segment_statuses: list[SegmentStatusAnswer] | None = None


class SessionsAnswer(Answer):
    """A page of sessions.

    `active_sessions` and `session_ids` are about all that fit: how many are being recorded, and the ids of the newest
    500.
    """

    items: list[SessionItem]
    next_cursor: str | None
    active_sessions: int
    session_ids: list[str]


Kind = TypeVar("Kind", bound=SessionAnswer)


def _answer(kind: type[Kind], session: Session, coverage: CoverageSummary | None, task_ids: Sequence[str]) -> Kind:
    job, counts = session.job, session.counts
    errors = [SessionError(source="track", id=t.id, detail=t.error[:MAX_ERROR]) for t in session.tracks if t.error]
    if job is not None and job.error:
        errors.append(SessionError(source="job", id=job.id, detail=job.error[:MAX_ERROR]))
    expected = [track.expected_segments for track in session.tracks]
    base = f"/api/sessions/{session.id}"
    return kind(
        id=session.id,
        title=session.title,
        description=session.description,
        schema_version=SCHEMA_VERSION,
        mode=session.mode,
        recording_type=session.recording_type,
        state=session.state,
        processing=session.processing,
        owner_id=session.owner_id,
        device_id=session.device_id,
        created_at=moment(session.created_at_ms),
        started_at=moment_or_none(session.started_at_ms),
        paused_at=moment_or_none(session.paused_at_ms),
        resumed_at=moment_or_none(session.resumed_at_ms),
        ended_at=moment_or_none(session.ended_at_ms),
        completed_at=moment_or_none(session.completed_at_ms),
        trashed_at=moment_or_none(session.trashed_at_ms),
        audio_deleted_at=moment_or_none(session.audio_deleted_at_ms),
        last_activity_at=moment(session.last_activity_at_ms),
        total_duration_ms=session.total_duration_ms,
        tags=list(session.tags),
        topics=list(session.topics),
        task_ids=list(task_ids),
        note_ids=[],
        errors=errors,
        participants=[ParticipantAnswer.of(one) for one in session.participants],
        tracks=[TrackAnswer.of(_with_short_error(track)) for track in session.tracks],
        segment_counts=SegmentCounts(
            total=counts.total,
            pending=counts.pending,
            processing=counts.processing,
            completed=counts.completed,
            failed=counts.failed,
            expected=session.expected_segments if None in expected or not expected else sum(filter(None, expected)),
        ),
        recording_config=RecordingConfigAnswer.model_validate(dict(session.recording_config)),
        phase=session.phase,
        phases=list(session.phases),
        agent=shown_agent(session.agent),
        on_leave=session.on_leave,
        enrichment=Enrichment.model_validate(
            {
                "status": "idle" if job is None else STATUS_OF_JOB[job.status],
                "job_id": job and job.id,
                "stage": job and job.stage,
                "progress": 0 if job is None else job.progress,
                "cost_usd": session.cost_usd_micros / 1e6,
                "estimated_cost_usd": 0 if job is None else job.estimated_cost_usd_micros / 1e6,
                "errors": [job.error[:MAX_ERROR]] if job is not None and job.error else [],
            }
        ),
        coverage=coverage,
        refs=SessionRefs(
            audio=f"{base}/media/audio",
            **{name: f"{base}/{name}" for name in SessionRefs.model_fields if name != "audio"},
        ),
        tags_total=len(session.tags),
        topics_total=len(session.topics),
        phases_total=len(session.phases),
        task_ids_total=len(task_ids),
        errors_total=len(errors),
        participants_total=len(session.participants),
        tracks_total=len(session.tracks),
    )


def _with_short_error(track: Track) -> Track:
    return replace(track, error=track.error[:MAX_ERROR]) if track.error and len(track.error) > MAX_ERROR else track


def _fitted(answer: Kind) -> Kind:
    """Cut lists at the end, the largest first, until the whole is small enough; one of each stays if that is enough."""
    lists = {name: list(getattr(answer, name))[: MAX_LISTED.get(name)] for name in CUTTABLE}
    cut = answer.model_copy(update=lists)
    while len(cut.model_dump_json().encode()) >= MAX_METADATA_BYTES and any(lists.values()):
        sizes = {name: len(cut.model_dump_json(include={name})) for name in CUTTABLE if lists[name]}
        largest = max(sizes, key=lambda name: (len(lists[name]) > 1, sizes[name]))
        lists[largest] = lists[largest][: len(lists[largest]) * 3 // 4]
        cut = answer.model_copy(update=lists)
    return cut
