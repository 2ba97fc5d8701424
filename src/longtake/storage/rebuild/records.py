"""Records of the packs → rows: segments, and what the journal says of sessions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, delete, update
from sqlalchemy.dialects.sqlite import insert as upsert

from longtake.model.lifecycle import TrackHealth, TrackState
from longtake.model.session import LaneStatus, SegmentStatus
from longtake.storage.blobs import StoreName
from longtake.storage.journal import KINDS
from longtake.storage.packs import (
    AUDIO_DELETED,
    BODY,
    ELSEWHERE,
    PURGED,
    SEGMENT,
    Broken,
    Found,
    digest_of,
    survey,
)
from longtake.storage.rebuild.result import Rebuilt
from longtake.storage.tables import blobs, segments, sessions, tracks

Progress = Callable[[int, int], None]
"""Called with the bytes that were read and the bytes there are."""


class Records:
    """The records of all packs, read into an empty database in one transaction."""

    def __init__(self, data: Path, c: Connection, result: Rebuilt, progress: Progress) -> None:
        self.data = data
        self.c = c
        self._progress = progress
        self._done_bytes = 0
        self._all_bytes = sum(path.stat().st_size for path in (data / StoreName.PACKS).glob("*.pack"))
        self.session_of: dict[str, str] = {}
        self._tracks_of: dict[str, set[str]] = {}
        self.mime_of: dict[str, str | None] = {}
        self.damaged: dict[str, tuple[str, str, int]] = {}
        self.purged: set[str] = set()
        self.result = result

    def read(self) -> None:
        """Read all packs; at a record's end nothing of it is kept in memory."""
        for pack in sorted((self.data / StoreName.PACKS).glob("*.pack"), key=lambda path: int(path.stem)):
            began = self._done_bytes
            for one in survey(pack):
                if isinstance(one, Broken):
                    self.result.broken.append((pack.name, one.offset, one.size_bytes))
                else:
                    self._take(pack, one)
                self._done_bytes = began + one.offset + one.size_bytes
                self._progress(self._done_bytes, self._all_bytes)

    def _take(self, pack: Path, found: Found) -> None:
        """One record."""
        kind, session_id = found.head.get("kind"), found.head.get("session")
        if session_id in self.purged:
            return
        if kind == SEGMENT:
            self._take_segment(pack, found)
        elif kind == BODY:  # bytes that were moved apart from what names them
            self._take_body(pack, found)
        elif kind == PURGED:
            self._delete_session(str(session_id))
        elif kind == AUDIO_DELETED:
            self._delete_segments(str(session_id))
            at_ms = found.head.get("at_ms")
            self.c.execute(update(sessions).where(sessions.c.id == session_id).values(audio_deleted_at_ms=at_ms))
        elif kind in KINDS:
            self._take_row(pack, str(kind), found)

    def _take_segment(self, pack: Path, found: Found) -> None:
        head: dict[str, Any] = found.head
        self._own(head["session"], head["track"])
        self.mime_of.setdefault(head["track"], head["type"])
        row = {
            "track_id": head["track"],
            "number": head["index"],
            "id": head["id"],
            "sha256": head["sha256"],
            "size_bytes": head["size"],
            "mime_type": head["type"],
            "start_ms": head["start_ms"],
            "duration_ms": head["duration_ms"],
            "stored_at_ms": head["stored_at_ms"],
            "status": SegmentStatus.PENDING,
            "media": LaneStatus.PENDING,
            "speech": LaneStatus.PENDING,
            "attempts": 0,
        }
        self.put(segments, row)
        self._take_body(pack, found)

    def _take_body(self, pack: Path, found: Found) -> None:
        head: dict[str, Any] = found.head
        if head.get("body") == ELSEWHERE:
            return
        at = (StoreName.PACKS, pack.name, found.offset)
        if digest_of(pack, found.offset, found.size_bytes) == head["sha256"]:
            self.put_blob(head["sha256"], head["size"], *at)
        else:
            self.damaged.setdefault(head["sha256"], at)

    def _take_row(self, pack: Path, kind: str, found: Found) -> None:
        table, key = KINDS[kind].table, found.head["key"]
        assert isinstance(key, list)
        if "sha256" not in found.head:  # the row was removed
            if kind == "session":
                self._delete_session(str(key[0]))
            else:
                same = [column == value for column, value in zip(table.primary_key.columns, key, strict=True)]
                self.c.execute(delete(table).where(*same))
            return
        with pack.open("rb") as file:
            file.seek(found.offset)
            body = file.read(found.size_bytes)
        if hashlib.sha256(body).hexdigest() != found.head["sha256"]:
            self.result.broken.append((pack.name, found.offset, found.size_bytes))
            return
        row = {name: value for name, value in json.loads(body).items() if name in table.columns}
        if kind == "session":
            row = {"last_activity_at_ms": row["created_at_ms"], "mix_settled": False} | row
        elif kind == "track":
            self._own(row["session_id"], row["id"])
            row = {"state": TrackState.IDLE, "health": TrackHealth.HEALTHY, "metrics": {}} | row
        self.put(table, row)

    def _delete_session(self, session_id: str) -> None:
        self.purged.add(session_id)
        self._delete_segments(session_id)
        gone = self.c.execute(delete(sessions).where(sessions.c.id == session_id)).rowcount
        self.c.execute(delete(tracks).where(tracks.c.session_id == session_id))
        self.result.deleted_sessions += gone
        for track in self._tracks_of.pop(session_id, ()):
            self.session_of.pop(track, None)

    def _delete_segments(self, session_id: str) -> None:
        for track in self._tracks_of.get(session_id, ()):
            self.c.execute(delete(segments).where(segments.c.track_id == track))

    def _own(self, session_id: str, track_id: str) -> None:
        self.session_of[track_id] = session_id
        self._tracks_of.setdefault(session_id, set()).add(track_id)

    def put_blob(self, sha256: str, size_bytes: int, store: str, key: str, offset: int) -> None:
        """Note where bytes lie; the first place that is found stays."""
        row = {
            "sha256": sha256,
            "size_bytes": size_bytes,
            "ref_count": 0,
            "store": store,
            "key": key,
            "offset": offset,
        }
        self.c.execute(upsert(blobs).values(row).on_conflict_do_nothing())

    def put(self, table: Table, row: dict[str, Any]) -> None:
        """Insert a row, or change the one that is there."""
        key = [column.name for column in table.primary_key.columns]
        statement = upsert(table).values(row)
        rest = {name: statement.excluded[name] for name in row if name not in key}
        if rest:
            self.c.execute(statement.on_conflict_do_update(index_elements=key, set_=rest))
        else:
            self.c.execute(statement.on_conflict_do_nothing())
