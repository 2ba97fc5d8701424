"""Attachments and their collection on the wire."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from longtake.wire.base import Answer, Request, Time


class ReferenceAnswer(Answer):
    """A row that refers to the bytes; `name` is that of a kept file."""

    kind: Literal["segment", "block", "artifact"]
    session_id: str
    track_id: str | None
    index: int | None
    name: str | None


class AttachmentAnswer(Answer):
    """Stored bytes. `referenced_by` lists at most 100 of all `ref_count` rows."""

    id: str
    content_hash: str = Field(description="SHA-256 of the bytes, in hex.")
    type: Literal["audio", "video", "image", "other"]
    name: str
    mime_type: str
    size_bytes: int
    width: int | None
    height: int | None
    duration_ms: int | None
    ref_count: int
    referenced_by: list[ReferenceAnswer]
    referenced_by_total: int
    created_at: Time
    last_accessed_at: Time | None
    thumbnail: str | None = Field(description="The address of a small picture; null for sound.")
    content: str = Field(description="The address of the bytes.")


class CollectRequest(Request):
    """Asks for the removal of bytes that nothing refers to.

    `older_than` is how long they have been without a reference: seconds, or a duration like `PT24H`.
    """

    older_than: Annotated[timedelta, Field(ge=timedelta(0), le=timedelta(days=3660))] = timedelta(hours=24)
    dry_run: bool = False


class CollectAnswer(Answer):
    """What was removed, or with `dry_run` would be.

    `bytes` is how long the removed bodies were; `freed_bytes` what the disk got back, as the room of small bodies comes
    back with most of their pack; `packs` how many packs were removed or written anew.
    """

    deleted: int
    bytes: int
    freed_bytes: int
    packs: int
