"""The library on the wire: recordings, search, tags, many sessions at once."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field

from longtake.model.session import ProcessingStatus, SegmentStatus
from longtake.wire.base import Answer, Identifier, Request, Time
from longtake.wire.sessions import Words


class ChunkAnswer(Answer):
    """The segments of one index on all tracks of sound: failed if one of them failed."""

    id: str
    status: SegmentStatus
    segment_index: int
    error: str | None


class AudioFile(Answer):
    """Something of a recording that can be played."""

    name: str
    url: str
    duration_ms: int


class RecordingMetadata(Answer):
    """A recording's chunks: all of them for one recording, the first 100 in a list."""

    total_segments: int
    successful_chunks: int
    failed_chunks: int
    total_duration_ms: int
    chunk_statuses: list[ChunkAnswer]


class RecordingAnswer(Answer):
    """A session as one recording; or, by the id of a chunk, that chunk of it (then it is no parent)."""

    id: str
    session_id: str
    is_parent_session: bool
    title: str
    created_at: Time
    status: ProcessingStatus
    audio_files: list[AudioFile]
    metadata: RecordingMetadata


class RecordingsAnswer(Answer):
    """A page of recordings, newest first."""

    success: Literal[True] = True
    recordings: list[RecordingAnswer]
    next_cursor: str | None


class OneRecordingAnswer(Answer):
    """One recording with all its chunks."""

    success: Literal[True] = True
    recording: RecordingAnswer


SearchKind = Literal["session", "entry", "summary", "chapter", "task", "marker"]


class HitAnswer(Answer):
    """A text that says what was looked for.

    `start_ms` is the moment to play from; null where it is about the whole session. `marks` are the [start, end) of
    what was looked for, in characters (Unicode code points) of the snippet, which is plain text.
    """

    session_id: str
    session_title: str
    session_created_at: Time
    kind: SearchKind
    id: str
    start_ms: int | None
    end_ms: int | None
    speaker: str | None
    track_id: str | None
    snippet: str
    marks: list[tuple[int, int]]
    score: float = Field(description="Higher is better; only within one search.")


class WordAnswer(Answer):
    """A tag or topic, and how many sessions have it, the trash apart."""

    name: str
    sessions: int

    @classmethod
    def of(cls, word: str, sessions: int) -> Self:
        """From the counts."""
        return cls(name=word, sessions=sessions)


class WordsAnswer(Answer):
    """Tags or topics, those of most sessions first."""

    items: list[WordAnswer]


class BulkRequest(Request):
    """Does the same with many sessions. `tags` are those to add (`tag`) or to take away (`untag`)."""

    session_ids: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=500)]
    action: Literal["trash", "restore", "purge", "tag", "untag", "retry", "end", "delete_audio"]
    tags: Words = ()


class BulkItem(Answer):
    """What became of one session; `error` is the code of what was wrong, `detail` says it."""

    session_id: str
    ok: bool
    error: str | None = None
    detail: str | None = None


class BulkAnswer(Answer):
    """Session by session, in the order in which they were named."""

    items: list[BulkItem]
