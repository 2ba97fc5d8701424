"""Attachments: what is known of stored bytes. The bytes themselves are sent by `server.streams`."""

from __future__ import annotations

from fastapi import APIRouter

from longtake.server.api.common import READ, AttachmentId, problems
from longtake.server.routing import ApiRoute, Run
from longtake.sessions.attachments import Described
from longtake.wire.attachments import AttachmentAnswer
from longtake.wire.base import moment, moment_or_none

router = APIRouter(route_class=ApiRoute, tags=["attachments"])

KINDS = ("audio", "video", "image")
EXTENSIONS = {
    "audio/wav": "wav",
    "audio/flac": "flac",
    "audio/mpeg": "mp3",
    "audio/aac": "aac",
    "audio/mp4": "m4a",
    "audio/ogg": "ogg",
    "audio/x-matroska": "mka",
    "audio/webm": "webm",
}


@router.get("/api/attachments/{attachment_id}", dependencies=READ, responses=problems(404))
def get_attachment(attachment_id: AttachmentId, run: Run) -> AttachmentAnswer:
    """Stored bytes and what refers to them. The id of an attachment is that of its segment."""
    return _answer(run.attachments.describe(attachment_id))


def ending(mime_type: str) -> str:
    """How a file of this kind is called at its end."""
    return EXTENSIONS.get(mime_type, "bin")


def _answer(found: Described) -> AttachmentAnswer:
    segment, track = found.attachment.segment, found.attachment.track
    mime_type = segment.mime_type or "application/octet-stream"
    kind = mime_type.partition("/")[0]
    placed = segment.placed()
    announced_ms = segment.duration_ms
    return AttachmentAnswer.model_validate(
        {
            "id": segment.id,
            "content_hash": segment.sha256,
            "type": kind if kind in KINDS else "other",
            "name": f"{track.name or track.kind.value} {segment.index}.{ending(mime_type)}",
            "mime_type": mime_type,
            "size_bytes": segment.size_bytes,
            "width": None,
            "height": None,
            "duration_ms": announced_ms if placed is None else (placed.end_ns - placed.start_ns) // 1_000_000,
            "ref_count": found.attachment.ref_count,
            "referenced_by": [
                {
                    "kind": one.kind,
                    "session_id": one.session_id,
                    "track_id": one.track_id,
                    "index": one.index,
                    "name": one.name,
                }
                for one in found.references
            ],
            "referenced_by_total": found.attachment.ref_count,
            "created_at": moment(segment.stored_at_ms),
            "last_accessed_at": moment_or_none(found.accessed_at_ms),
            "thumbnail": None,
            "content": f"/api/attachments/{segment.id}/content",
        }
    )
