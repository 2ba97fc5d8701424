"""Stored bytes as attachments: each segment is one, under its own id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select, update

from longtake.model.errors import NotFound
from longtake.model.session import Segment, Track
from longtake.storage.blobs import Locator
from longtake.storage.catalog.blobs import locator_of
from longtake.storage.catalog.segments import get_segment, segments_of_bytes
from longtake.storage.catalog.tracks import find_track
from longtake.storage.tables import artifacts, blobs, blocks, segments

ACCESSED = update(blobs).where(blobs.c.sha256 == bindparam("digest")).values(accessed_at_ms=bindparam("at_ms"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A row that refers to stored bytes: `kind` is segment, block or artifact; `name` that of the kept file."""

    kind: str
    session_id: str
    track_id: str | None = None
    index: int | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A segment with its track and its bytes."""

    segment: Segment
    track: Track
    locator: Locator
    ref_count: int
    accessed_at_ms: int | None


def get_attachment(c: Connection, attachment_id: str) -> Attachment:
    """An attachment; raises NotFound."""
    row = c.execute(select(segments.c.track_id, segments.c.number).where(segments.c.id == attachment_id)).one_or_none()
    track = None if row is None else find_track(c, row.track_id)
    if row is None or track is None:
        raise NotFound("attachment", attachment_id)
    segment = get_segment(c, row.track_id, row.number)
    blob = c.execute(select(blobs).where(blobs.c.sha256 == segment.sha256)).one()
    return Attachment(
        segment=segment,
        track=track,
        locator=locator_of(blob),
        ref_count=blob.ref_count,
        accessed_at_ms=blob.accessed_at_ms,
    )


def references(c: Connection, attachment: Attachment, limit: int) -> list[Reference]:
    """Some of the rows that refer to an attachment's bytes, itself first."""
    mine = attachment.segment
    found = [
        Reference(kind="segment", session_id=attachment.track.session_id, track_id=mine.track_id, index=mine.index)
    ]
    wanted = min(limit, attachment.ref_count)
    if len(found) < wanted:  # the tables have no index for this: it would cost every segment that is stored
        for segment, session_id in segments_of_bytes(c, [mine.sha256], wanted):
            if segment.id != mine.id:
                found.append(
                    Reference(kind="segment", session_id=session_id, track_id=segment.track_id, index=segment.index)
                )
    if len(found) < wanted:
        query = select(blocks.c.session_id, blocks.c.owner_id, blocks.c.number).where(blocks.c.sha256 == mine.sha256)
        for row in c.execute(query.limit(wanted)):
            track_id = None if row.owner_id == row.session_id else row.owner_id
            found.append(Reference(kind="block", session_id=row.session_id, track_id=track_id, index=row.number))
    if len(found) < wanted:
        query = select(artifacts.c.session_id, artifacts.c.file_type).where(artifacts.c.sha256 == mine.sha256)
        found += [
            Reference(kind="artifact", session_id=row.session_id, name=row.file_type)
            for row in c.execute(query.limit(wanted))
        ]
    return found[:wanted]


def note_accesses(c: Connection, accesses: Mapping[str, int]) -> None:
    """When bytes were last asked for: digest → moment."""
    if accesses:
        c.execute(ACCESSED, [{"digest": sha256, "at_ms": at_ms} for sha256, at_ms in accesses.items()])
