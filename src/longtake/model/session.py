"""The nouns: sessions, participants, tracks, segments, jobs; and the status that follows from the segments.

Times `…_at_ms` are milliseconds since the Unix epoch (UTC); `…_ms` otherwise are durations or media time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from longtake.model.lifecycle import JobState, Permission, SessionState, TrackHealth, TrackState
from longtake.model.timeline import Place, Placed

SCHEMA_VERSION = 1
UPLOAD = "upload"
"""The `recording_type` of a session that is one whole file sent to a server: nobody else may say it."""


class Mode(StrEnum):
    """How many people a session is for."""

    SOLO = "solo"
    PAIR = "pair"
    GROUP = "group"


class TrackKind(StrEnum):
    """What a track records."""

    MICROPHONE = "microphone"
    SYSTEM = "system"
    CAMERA = "camera"
    SCREEN = "screen"
    WINDOW = "window"
    SCREENSHOTS = "screenshots"
    UPLOAD = "upload"
    MIX = "mix"


AUDIO_KINDS = frozenset({TrackKind.MICROPHONE, TrackKind.SYSTEM, TrackKind.UPLOAD, TrackKind.MIX})


class SegmentStatus(StrEnum):
    """How far a segment is, for people: both lanes together."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


class LaneStatus(StrEnum):
    """How far a segment is in one lane."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"


class Priority(StrEnum):
    """Which job goes first."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class ProcessingStatus(StrEnum):
    """What has become of what was recorded; apart from the lifecycle."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    COMPLETED_WITH_ERRORS = "completed_with_errors"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many segments are in which status."""

    pending: int = 0
    processing: int = 0
    completed: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        return self.pending + self.processing + self.completed + self.failed


def segment_status(media: LaneStatus, speech: LaneStatus) -> SegmentStatus:
    """What people see of a segment: failed if a lane failed, completed when both are done."""
    if LaneStatus.FAILED in (media, speech):
        return SegmentStatus.FAILED
    if media is LaneStatus.PENDING:
        return SegmentStatus.PENDING
    return SegmentStatus.COMPLETED if speech is LaneStatus.DONE else SegmentStatus.PROCESSING


def processing_status(counts: Counts, job: JobState | None) -> ProcessingStatus:
    """The derived status of a session: waiting and running work first, then what the segments say.

    A failed job leaves what it did not get to as it is: that is no longer waited for.
    """
    if job is JobState.FAILED:
        counts = Counts(
            completed=counts.completed + counts.processing, failed=counts.failed + counts.pending + counts.processing
        )
    if counts.processing or job is JobState.PROCESSING:
        return ProcessingStatus.PROCESSING
    if counts.pending or job is JobState.PENDING:
        return ProcessingStatus.PENDING
    if not counts.failed:
        return ProcessingStatus.COMPLETED
    return ProcessingStatus.COMPLETED_WITH_ERRORS if counts.completed else ProcessingStatus.FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """A person (or agent) in a session."""

    id: str
    role: str
    name: str | None = None
    device_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """How far a track is covered by its first segments, as `model.coverage` counts.

    Attributes:
        next_index: One more than the last segment's.
        covered_ns: Where its sound ends.
        stored_ns: How much of that there is.
        cause: What a gap that begins there would come from.
        failed_until_ns: Where the failed segments at its very end would have ended.
        gap_count, damaged_count: How many gaps, and segments of which only a part could be decoded.
        is_missing: Whether an index before `next_index` never came.
    """

    next_index: int = 0
    covered_ns: int = 0
    stored_ns: int = 0
    cause: str | None = None
    failed_until_ns: int = 0
    gap_count: int = 0
    damaged_count: int = 0
    is_missing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One continuous source in a session.

    `reported_at_ms` is its recorder's last heartbeat, `heard_at_ms` its last sign of life (a heartbeat, a segment, or
    the moment it was asked to record). While it `is_silent` for too long, `health` is degraded at best.
    `expected_segments` and `expected_ms` are what its recorder says there should be; `length_ns` is where its last
    decoded take ends; `is_ended` that no more is recorded (late segments are still taken); `…_settled` that the lane
    has nothing to do; `covered` how far its decoded segments cover it, None where that has to be counted anew.
    """

    id: str
    session_id: str
    kind: TrackKind
    number: int
    state: TrackState
    health: TrackHealth
    participant_id: str | None = None
    device_id: str | None = None
    name: str | None = None
    metrics: Mapping[str, object] = field(default_factory=dict)
    error: str | None = None
    permissions: Mapping[str, Permission] | None = None
    reported_at_ms: int | None = None
    heard_at_ms: int | None = None
    is_silent: bool = False
    started_at_ms: int | None = None
    expected_segments: int | None = None
    expected_ms: int | None = None
    counts: Counts = Counts()
    size_bytes: int = 0
    covered: Covered | None = Covered()
    length_ns: int = 0
    channels: int = 1
    is_ended: bool = False
    media_settled: bool = True
    speech_settled: bool = True
    speech_engine: str | None = None
    speech_language: str | None = None
    speech_cursor: int = 0
    speech_known: int = 0
    speech_stale_from: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One numbered piece of a track. `place`, `samples` and `channels` are known once it is decoded.

    `kills` is how many child processes died of it.
    """

    id: str
    track_id: str
    index: int
    sha256: str
    size_bytes: int
    stored_at_ms: int
    status: SegmentStatus
    media: LaneStatus
    speech: LaneStatus
    start_ms: int | None = None
    duration_ms: int | None = None
    mime_type: str | None = None
    attempts: int = 0
    kills: int = 0
    error_code: str | None = None
    error_detail: str | None = None
    place: Place | None = None
    samples: int | None = None
    channels: int | None = None
    noise_dbfs: float | None = None
    is_silent: bool | None = None
    speaker_confidence: float | None = None

    def placed(self) -> Placed | None:
        """Its stretch of the timeline; None while it is not decoded."""
        if self.place is None or self.samples is None or self.channels is None:
            return None
        return Placed(
            index=self.index, sha256=self.sha256, place=self.place, samples=self.samples, channels=self.channels
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the sender of a segment gets: it is durable. `is_new` is False when it was there already."""

    segment_id: str
    index: int
    sha256: str
    size_bytes: int
    stored_at_ms: int
    status: SegmentStatus
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of the enrichment of a session. `done` are the stages that need not be run again."""

    id: str
    session_id: str
    status: JobState
    priority: Priority
    created_at_ms: int
    stage: str | None = None
    substage: str | None = None
    progress: int = 0
    attempts: int = 0
    claims: int = 0
    cost_usd_micros: int = 0
    estimated_cost_usd_micros: int = 0
    error: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    done: tuple[str, ...] = ()
    started_at_ms: int | None = None
    finished_at_ms: int | None = None
    not_before_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """What a retry set going again; of many sessions, `error` is the code of what kept one from it."""

    session_id: str
    segments: int
    job_id: str | None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One recorded step of a session's life."""

    at_ms: int
    from_state: SessionState | None
    to_state: SessionState
    event: str
    actor: str
    cause: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One recording occasion: its metadata, never its content.

    `recorded_ms` is how long it was active by the clock, but for the stretch since `active_since_ms`.
    `balance` are the steps of the mix, each (from_ns, 0 microphone … 1 system).
    """

    id: str
    title: str
    mode: Mode
    state: SessionState
    created_at_ms: int
    last_activity_at_ms: int
    description: str | None = None
    recording_type: str = "segmented"
    recording_config: Mapping[str, object] = field(default_factory=dict)
    owner_id: str | None = None
    device_id: str | None = None
    started_at_ms: int | None = None
    paused_at_ms: int | None = None
    resumed_at_ms: int | None = None
    ended_at_ms: int | None = None
    completed_at_ms: int | None = None
    recorded_ms: int = 0
    active_since_ms: int | None = None
    trashed_at_ms: int | None = None
    audio_deleted_at_ms: int | None = None
    tags: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    phases: tuple[str, ...] = ()
    phase: str | None = None
    agent: Mapping[str, object] | None = None
    on_leave: str = "keep"
    expected_segments: int | None = None
    balance: tuple[tuple[int, float], ...] = ((0, 0.5),)
    mix_settled: bool = True
    cost_usd_micros: int = 0
    participants: tuple[Participant, ...] = ()
    tracks: tuple[Track, ...] = ()
    job: Job | None = None

    @property
    def asked_at_ms(self) -> int:
        """When its recorders were last asked to start, pause or resume; 0 when never."""
        return max(at or 0 for at in (self.started_at_ms, self.paused_at_ms, self.resumed_at_ms))

    @property
    def counts(self) -> Counts:
        """Segments of all tracks by status."""
        parts = [t.counts for t in self.tracks]
        return Counts(
            pending=sum(c.pending for c in parts),
            processing=sum(c.processing for c in parts),
            completed=sum(c.completed for c in parts),
            failed=sum(c.failed for c in parts),
        )

    @property
    def processing(self) -> ProcessingStatus:
        return processing_status(self.counts, self.job.status if self.job else None)

    @property
    def is_settled(self) -> bool:
        """Whether everything that is played is up to date with everything that arrived."""
        return self.mix_settled and all(t.media_settled for t in self.tracks)

    @property
    def length_ns(self) -> int:
        """Where the last decoded sound of any track ends."""
        return max((t.length_ns for t in self.tracks), default=0)

    @property
    def total_duration_ms(self) -> int:
        """How long it is without pauses: its sound, or by the clock where none was recorded."""
        if self.length_ns or self.counts.total:
            return self.length_ns // 1_000_000
        if self.active_since_ms is None:
            return self.recorded_ms
        return self.recorded_ms + max(0, self.last_activity_at_ms - self.active_since_ms)


def voice_of(session: Session, track: Track) -> Participant | None:
    """The participant who is heard on a track; None where only the track itself has a name."""
    for participant in session.participants:
        if participant.id == track.participant_id:
            return participant
    first = session.participants[0] if session.participants else None
    is_theirs = track.kind is TrackKind.MICROPHONE and not track.name and first is not None and first.name
    return first if is_theirs else None


def speaker_of(session: Session, track: Track) -> str:
    """Who speaks on a track: its participant, else the track's own name, else what it records."""
    participant = voice_of(session, track)
    if participant is not None:
        return participant.name or participant.role
    if track.name:
        return track.name
    same = [t.id for t in session.tracks if t.kind is track.kind]
    return track.kind.capitalize() + (f" {same.index(track.id) + 1}" if len(same) > 1 else "")
