"""The library view: one entry for each session, its segments as chunks."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from sqlalchemy import Connection

from longtake.model.errors import NotFound
from longtake.model.session import ProcessingStatus, Segment, SegmentStatus, Session
from longtake.model.timeline import ns_to_ms
from longtake.server.api.common import DELETE, READ, WRITE, Cursor, Limit, as_json, problems
from longtake.server.routing import ApiRoute, Run, Views
from longtake.storage.catalog import chunks, library, sessions
from longtake.storage.catalog.chunks import Chunk
from longtake.wire.base import moment
from longtake.wire.library import (
    AudioFile,
    ChunkAnswer,
    OneRecordingAnswer,
    RecordingAnswer,
    RecordingMetadata,
    RecordingsAnswer,
)
from longtake.wire.sessions import SessionAnswer
from longtake.wire.tracks import RetryAnswer

router = APIRouter(route_class=ApiRoute, tags=["library"])

MAX_CHUNKS = 100
RecordingId = Annotated[str, Path(max_length=64, description="Of a session, or of a chunk of one.")]
SessionOnly = Annotated[str, Path(max_length=64, description="Of a session.")]


@router.get("/api/recordings", response_model=RecordingsAnswer, dependencies=READ, responses=problems(422))
def list_recordings(run: Run, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """The recordings, newest first; of each, the statuses of its first 100 chunks."""
    with run.store.db.read() as c:
        found, following = library.list_sessions(c, library.Filter(), limit=limit, cursor=cursor)
        recordings = [_recording(c, session, limit=MAX_CHUNKS) for session in found]
    return as_json(RecordingsAnswer(recordings=recordings, next_cursor=following))


@router.get(
    "/api/recordings/{recording_id}", response_model=OneRecordingAnswer, dependencies=READ, responses=problems(404)
)
def get_recording(recording_id: RecordingId, run: Run) -> Response:
    """A recording with all its chunks; by the id of a chunk, only that one."""
    with run.store.db.read() as c:
        session = sessions.find_session(c, recording_id)
        if session is not None:
            return as_json(OneRecordingAnswer(recording=_recording(c, session, limit=None)))
        session_id, chunk = _chunk(c, recording_id)
        part = _part(sessions.get_session(c, session_id), recording_id, chunk)
    return as_json(OneRecordingAnswer(recording=part))


@router.post("/api/recordings/{recording_id}/retry", dependencies=WRITE, responses=problems(404, 409, 507))
def retry_recording(recording_id: RecordingId, run: Run) -> RetryAnswer:
    """Process the failed segments of a recording again; by the id of a chunk, only those of that chunk."""
    with run.store.db.read() as c:
        if sessions.find_session(c, recording_id) is not None:
            chunk = None
        else:
            session_id, chunk = _chunk(c, recording_id)
    if chunk is None:
        return RetryAnswer.of(run.work.retry_session(recording_id))
    failed = [segment for segment in chunk.segments if segment.status is SegmentStatus.FAILED] or chunk.segments
    all_done = [run.work.retry_segment(session_id, segment.track_id, segment.index) for segment in failed]
    return RetryAnswer(session_id=session_id, segments=len(all_done), job_id=all_done[-1].job_id)


@router.delete("/api/recordings/{recording_id}/audio", dependencies=DELETE, responses=problems(404, 409, 503, 507))
def delete_recorded_audio(recording_id: SessionOnly, run: Run, views: Views) -> SessionAnswer:
    """Delete what was recorded, for good; the transcript and what is made of it stay."""
    return views.of(run.deletion.delete_audio(recording_id))


@router.delete(
    "/api/recordings/{recording_id}", status_code=204, dependencies=DELETE, responses=problems(404, 422, 507)
)
def delete_recording(
    recording_id: SessionOnly,
    run: Run,
    purge: Annotated[bool, Query(description="For good and at once, with all that was made of it.")] = False,
) -> None:
    """Move a recording to the trash (twice is once), or delete it for good."""
    if purge:
        run.deletion.purge(recording_id)
    else:
        run.sessions.trash(recording_id)


def _chunk(c: Connection, segment_id: str) -> tuple[str, Chunk]:
    found = chunks.find_chunk(c, segment_id)
    if found is None:
        raise NotFound("recording", segment_id)
    return found


def _recording(c: Connection, session: Session, *, limit: int | None) -> RecordingAnswer:
    counts = chunks.count_chunks(c, session.tracks)
    listed = chunks.list_chunks(c, session.tracks, limit=limit)
    return RecordingAnswer(
        id=session.id,
        session_id=session.id,
        is_parent_session=True,
        title=session.title,
        created_at=moment(session.created_at_ms),
        status=session.processing,
        audio_files=_audio_files(session),
        metadata=RecordingMetadata(
            total_segments=counts.total,
            successful_chunks=counts.completed,
            failed_chunks=counts.failed,
            total_duration_ms=session.total_duration_ms,
            chunk_statuses=[_status(chunk) for chunk in listed],
        ),
    )


def _part(session: Session, segment_id: str, chunk: Chunk) -> RecordingAnswer:
    """One chunk as a recording of its own."""
    names = {track.id: track.name or track.kind.value for track in session.tracks}
    is_done, is_failed = chunk.status is SegmentStatus.COMPLETED, chunk.status is SegmentStatus.FAILED
    base = f"/api/sessions/{session.id}/tracks"
    return RecordingAnswer(
        id=segment_id,
        session_id=session.id,
        is_parent_session=False,
        title=session.title,
        created_at=moment(session.created_at_ms),
        status=ProcessingStatus(chunk.status.value),
        audio_files=[
            AudioFile(
                name=names[segment.track_id],
                url=f"{base}/{segment.track_id}/segments/{segment.index}/media",
                duration_ms=_length_ms(segment),
            )
            for segment in chunk.segments
        ],
        metadata=RecordingMetadata(
            total_segments=1,
            successful_chunks=int(is_done),
            failed_chunks=int(is_failed),
            total_duration_ms=max(_length_ms(segment) for segment in chunk.segments),
            chunk_statuses=[_status(chunk)],
        ),
    )


def _length_ms(segment: Segment) -> int:
    """As decoded; as announced until then."""
    placed = segment.placed()
    return (segment.duration_ms or 0) if placed is None else ns_to_ms(placed.end_ns - placed.start_ns)


def _status(chunk: Chunk) -> ChunkAnswer:
    return ChunkAnswer(id=chunk.id, status=chunk.status, segment_index=chunk.index, error=chunk.error)


def _audio_files(session: Session) -> list[AudioFile]:
    """The mix first, then each track of sound."""
    found = chunks.audible(session.tracks)
    base = f"/api/sessions/{session.id}/media"
    whole = [AudioFile(name="audio", url=f"{base}/audio", duration_ms=ns_to_ms(session.length_ns))] if found else []
    return whole + [
        AudioFile(
            name=track.name or track.kind.value,
            url=f"{base}/{track.id}",
            duration_ms=ns_to_ms(track.length_ns),
        )
        for track in found
    ]
