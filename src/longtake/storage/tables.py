"""The tables of longtake, but for those of the other `tables_…`. Migrations make the same; a test shows it.

Conventions: ids are UUID v4 as text; `…_at_ms` are milliseconds since the Unix epoch; digests are SHA-256 in hex;
counters of segments stand on the track, so that a session's metadata never counts rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

from longtake.model.lifecycle import JobState, SessionState, TrackHealth, TrackState
from longtake.model.session import LaneStatus, Mode, Priority, SegmentStatus, TrackKind

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

ID = String(36)
DIGEST = String(64)
MS = BigInteger


def one_of(column: str, words: Iterable[StrEnum]) -> CheckConstraint:
    """A CHECK that a column holds one of an enum's words."""
    listed = ", ".join(f"'{word.value}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


sessions = Table(
    "sessions",
    metadata,
    Column("id", ID, primary_key=True),
    Column("title", Text, nullable=False),
    Column("description", Text),
    Column("mode", String(8), nullable=False),
    Column("recording_type", String(32), nullable=False),
    Column("recording_config", JSON, nullable=False),
    Column("state", String(24), nullable=False),
    Column("owner_id", ID),
    Column("device_id", ID),
    Column("created_at_ms", MS, nullable=False),
    Column("started_at_ms", MS),
    Column("paused_at_ms", MS),
    Column("resumed_at_ms", MS),
    Column("ended_at_ms", MS),
    Column("completed_at_ms", MS),
    Column("recorded_ms", MS, nullable=False, server_default="0"),  # how long it was active, by the clock
    Column("active_since_ms", MS),  # the beginning of the stretch that is not counted yet; null while not active
    Column("last_activity_at_ms", MS, nullable=False),
    Column("trashed_at_ms", MS),
    Column("purged_at_ms", MS),  # since then its rows are being removed: nobody sees it any more
    Column("audio_deleted_at_ms", MS),  # since then it has no recordings, and takes none
    Column("topics", JSON, nullable=False),
    Column("phases", JSON, nullable=False),
    Column("phase", Text),
    Column("agent", JSON),
    Column("on_leave", String(8), nullable=False),
    Column("expected_segments", Integer),
    Column("balance", JSON, nullable=False),  # steps of the mix: [[from_ns, 0 microphone … 1 system], …]
    Column("mix_settled", Boolean, nullable=False),  # as on tracks, for the mix
    Column("cost_usd_micros", BigInteger, nullable=False, server_default="0"),  # what engines asked for it so far
    # what follows from its tracks and jobs, for finding and sorting only: kept in step by `storage.lookups`
    Column("processing", String(24), nullable=False, server_default=text("'completed'")),
    Column("length_ns", BigInteger, nullable=False, server_default="0"),
    one_of("state", SessionState),
    one_of("mode", Mode),
    Index(
        "ix_sessions_mix_unsettled",
        "created_at_ms",
        sqlite_where=text("mix_settled IS 0"),
        postgresql_where=text("mix_settled IS false"),
    ),
    Index(
        "ix_sessions_purged",
        "purged_at_ms",
        sqlite_where=text("purged_at_ms IS NOT NULL"),
        postgresql_where=text("purged_at_ms IS NOT NULL"),
    ),
    Index("ix_sessions_list", "created_at_ms", "id"),
    Index("ix_sessions_state", "state", "created_at_ms", "id"),
    Index("ix_sessions_processing", "processing", "created_at_ms", "id"),
    Index("ix_sessions_owner", "owner_id", "created_at_ms", "id"),
    Index("ix_sessions_length", "length_ns", "id"),
    Index("ix_sessions_title", "title", "id"),
    Index(
        "ix_sessions_trashed",
        "created_at_ms",
        "id",
        sqlite_where=text("trashed_at_ms IS NOT NULL"),
        postgresql_where=text("trashed_at_ms IS NOT NULL"),
    ),
)

session_tags = Table(
    "session_tags",
    metadata,
    Column("tag", String(200), primary_key=True),
    Column("session_id", ID, ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("position", Integer, nullable=False),
)

participants = Table(
    "participants",
    metadata,
    Column("id", ID, primary_key=True),
    Column("session_id", ID, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("role", String(16), nullable=False),
    Column("name", Text),
    Column("device_id", ID),
)

tracks = Table(
    "tracks",
    metadata,
    Column("id", ID, primary_key=True),
    Column("session_id", ID, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("number", Integer, nullable=False),  # order of declaration in the session, from 0
    Column("kind", String(16), nullable=False),
    Column("participant_id", ID),
    Column("device_id", ID),
    Column("name", Text),
    Column("state", String(16), nullable=False),
    Column("health", String(16), nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("error", Text),
    Column("permissions", JSON),  # what its recorder may do, as it says: {name: granted, denied or prompt}
    Column("reported_at_ms", MS),  # the recorder's last heartbeat
    Column("heard_at_ms", MS),  # its last sign of life: a heartbeat, a segment, or the moment it was asked to record
    Column("is_silent", Boolean, nullable=False, server_default=text("0")),  # missed for too long: shown as degraded
    Column("started_at_ms", MS),
    Column("expected_segments", Integer),
    Column("expected_ms", MS),
    Column("n_pending", Integer, nullable=False, server_default="0"),
    Column("n_processing", Integer, nullable=False, server_default="0"),
    Column("n_completed", Integer, nullable=False, server_default="0"),
    Column("n_failed", Integer, nullable=False, server_default="0"),
    Column("size_bytes", BigInteger, nullable=False, server_default="0"),
    # how far its decoded segments cover it (`model.session.Covered`); null where that has to be counted anew
    Column("covered", JSON(none_as_null=True)),
    Column("length_ns", BigInteger, nullable=False, server_default="0"),  # where the last decoded take ends
    Column("channels", Integer, nullable=False, server_default="1"),  # the most of any decoded segment, at most 2
    Column("is_ended", Boolean, nullable=False, server_default=text("0")),
    # False while a lane may have something to do: set by what changes the track, cleared by the lane itself
    Column("media_settled", Boolean, nullable=False, server_default=text("1")),
    Column("speech_settled", Boolean, nullable=False, server_default=text("1")),
    Column("speech_engine", String(128)),  # the engine its transcript is made by; null until it is begun
    Column("speech_language", String(8)),  # the language that it was told to hear; null: none
    # 16 kHz sample up to which the transcript is made; between utterances, so that work can go on from there
    Column("speech_cursor", BigInteger, nullable=False, server_default="0"),
    # up to where the track was known when that was made, and the first sample that has changed since (null: none)
    Column("speech_known", BigInteger, nullable=False, server_default="0"),
    Column("speech_stale_from", BigInteger),
    Index(
        "ix_tracks_media_unsettled",
        "is_ended",
        sqlite_where=text("media_settled IS 0"),
        postgresql_where=text("media_settled IS false"),
    ),
    Index(
        "ix_tracks_speech_unsettled",
        "is_ended",
        sqlite_where=text("speech_settled IS 0"),
        postgresql_where=text("speech_settled IS false"),
    ),
    one_of("kind", TrackKind),
    one_of("state", TrackState),
    one_of("health", TrackHealth),
)

blobs = Table(
    "blobs",
    metadata,
    Column("sha256", DIGEST, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("ref_count", Integer, nullable=False),
    Column("store", String(16), nullable=False),  # "packs", "derived" (packs of what can be made again) or "files"
    Column("key", Text, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("orphaned_at_ms", MS),  # when its last reference went; null while it has one
    Column("accessed_at_ms", MS),  # when its bytes were last asked for as an attachment
    Index(
        "ix_blobs_orphaned",
        "orphaned_at_ms",
        sqlite_where=text("orphaned_at_ms IS NOT NULL"),
        postgresql_where=text("orphaned_at_ms IS NOT NULL"),
    ),
    sqlite_with_rowid=False,
)

segments = Table(
    "segments",
    metadata,
    Column("track_id", ID, ForeignKey("tracks.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),  # its index: a row object has a method of that name
    Column("id", ID, nullable=False),
    Column("sha256", DIGEST, ForeignKey("blobs.sha256"), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("mime_type", String(64)),
    Column("start_ms", MS),  # as announced by the recorder
    Column("duration_ms", MS),
    Column("stored_at_ms", MS, nullable=False),
    Column("status", String(16), nullable=False),  # follows from the two lanes; kept for counting
    Column("media", String(8), nullable=False),
    Column("speech", String(8), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("kills", Integer, nullable=False, server_default="0"),  # how many children died of it
    Column("error_code", String(64)),
    Column("error_detail", Text),
    Column("take_start_ns", BigInteger),  # from here on: known once it is decoded
    Column("take_offset", BigInteger),
    Column("rate_hz", Integer),
    Column("samples", BigInteger),
    Column("channels", Integer),
    Column("noise_dbfs", Float),
    Column("is_silent", Boolean),
    Column("speaker_confidence", Float),
    one_of("status", SegmentStatus),
    one_of("media", LaneStatus),
    one_of("speech", LaneStatus),
    Index("uq_segments_id", "id", unique=True),
    Index(
        "ix_segments_failed", "track_id", "number",
        sqlite_where=text("status = 'failed'"), postgresql_where=text("status = 'failed'"),
    ),
    Index(
        "ix_segments_media_pending", "track_id", "number",
        sqlite_where=text("media = 'pending'"), postgresql_where=text("media = 'pending'"),
    ),
    Index(
        "ix_segments_speech_pending", "track_id", "number",
        sqlite_where=text("speech = 'pending'"), postgresql_where=text("speech = 'pending'"),
    ),
    sqlite_with_rowid=False,
)  # fmt: skip

blocks = Table(
    "blocks",
    metadata,
    Column("owner_id", ID, primary_key=True),  # a track, or a session: then it is a block of the mix
    Column("number", Integer, primary_key=True),
    Column("session_id", ID, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("revision", Integer, nullable=False),
    Column("made_from", DIGEST, nullable=False),  # digest of everything the block is a function of
    Column("sha256", DIGEST, ForeignKey("blobs.sha256"), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("samples", Integer, nullable=False),  # of sound it adds, at 48 kHz; the last may be shorter
    Column("channels", Integer, nullable=False),
    Column("frame_sizes", LargeBinary, nullable=False),  # big-endian uint16 per AAC frame
    Column("peaks", LargeBinary, nullable=False),
)

recognitions = Table(
    "recognitions",  # what an engine heard in an utterance: never asked twice for the same sound
    metadata,
    Column("key", DIGEST, primary_key=True),  # digest of PCM, engine, model, language
    Column("session_id", ID, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("text", Text, nullable=False),
    Column("words", JSON, nullable=False),
    Column("confidence", Float),
    sqlite_with_rowid=False,
)

utterances = Table(
    "utterances",  # where a track has speech, in 16 kHz samples of its timeline, and what was heard there
    metadata,
    Column("track_id", ID, ForeignKey("tracks.id", ondelete="CASCADE"), primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("end", BigInteger, nullable=False),
    Column("key", DIGEST, nullable=False),  # of the recognition
    Column("entry_id", ID),  # null when nothing was understood
    sqlite_with_rowid=False,
)

entries = Table(
    "entries",
    metadata,
    Column("id", ID, primary_key=True),
    Column("session_id", ID, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("track_id", ID),
    Column("speaker", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("start_ms", MS, nullable=False),
    Column("end_ms", MS, nullable=False),
    Column("at_ms", MS, nullable=False),
    Column("first_segment", Integer),
    Column("last_segment", Integer),
    Column("engine", String(64)),
    Column("model", String(128)),
    Column("is_draft", Boolean, nullable=False),
    Column("confidence", Float),
    Column("words", JSON, nullable=False),
    Column("corrected", Boolean, nullable=False),
    Index("ix_entries_order", "session_id", "start_ms", "id"),
    Index("ix_entries_track", "track_id", "start_ms"),
)

outlines = Table(
    "outlines",
    metadata,
    Column("session_id", ID, ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True),
    Column("made_from", DIGEST, nullable=False),
    Column("outline", JSON, nullable=False),
)

artifacts = Table(
    "artifacts",  # files that were made on request and kept
    metadata,
    Column("session_id", ID, ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True),
    Column("file_type", String(16), primary_key=True),
    Column("made_from", DIGEST, nullable=False),
    Column("sha256", DIGEST, ForeignKey("blobs.sha256"), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("made_at_ms", MS, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", ID, primary_key=True),
    Column("session_id", ID, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("status", String(16), nullable=False),
    Column("priority", String(8), nullable=False),
    Column("stage", String(24)),
    Column("substage", String(24)),
    Column("progress", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("claims", Integer, nullable=False, server_default="0"),  # how often it was begun
    Column("cost_usd_micros", BigInteger, nullable=False),
    Column("estimated_cost_usd_micros", BigInteger, nullable=False),
    Column("error", Text),
    Column("options", JSON, nullable=False),
    Column("done", JSON, nullable=False),  # stages that need not be run again
    Column("created_at_ms", MS, nullable=False),
    Column("started_at_ms", MS),
    Column("finished_at_ms", MS),
    Column("not_before_ms", MS, nullable=False),  # the end of a back-off
    one_of("status", JobState),
    one_of("priority", Priority),
    Index("ix_jobs_session", "session_id", "created_at_ms"),
    Index("ix_jobs_status", "status", "created_at_ms"),
    Index(
        "uq_jobs_active", "session_id", unique=True,
        sqlite_where=text("status IN ('pending', 'processing')"),
        postgresql_where=text("status IN ('pending', 'processing')"),
    ),
)  # fmt: skip

history = Table(
    "history",
    metadata,
    Column("session_id", ID, ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at_ms", MS, nullable=False),
    Column("from_state", String(24)),
    Column("to_state", String(24), nullable=False),
    Column("event", String(32), nullable=False),
    Column("actor", Text, nullable=False),
    Column("cause", Text),
)
