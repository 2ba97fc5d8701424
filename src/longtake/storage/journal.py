"""What people did, told to the packs: titles, tracks, steps, corrections. From it a lost database is made again.

Whatever changes a row that nothing else can bring back notes it (`note`); at the end of the transaction the noted rows
are read once and appended to the packs, flushed before the commit. A note costs nothing where no journal is kept.
Belongs here: which rows, and how they are written. Does not: reading them again (`rebuild`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, Table, and_, select

from longtake.storage.blobs import Blobs, StoreName
from longtake.storage.packs import Record
from longtake.storage.tables import entries, history, participants, session_tags, sessions, tracks
from longtake.storage.tables_remarks import markers, phase_changes, summaries

NOTED = "longtake.journal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of record: the rows of a table, and those of its columns that nothing else can bring back."""

    table: Table
    columns: Sequence[str]


def _of(table: Table, *columns: str) -> Kind:
    """Some columns of a table, or all."""
    return Kind(table=table, columns=columns or [column.name for column in table.columns])


KINDS: Mapping[str, Kind] = {
    "session": _of(
        sessions,
        *("id", "title", "description", "mode", "recording_type", "recording_config", "state", "owner_id", "device_id"),
        *(
            "created_at_ms",
            "started_at_ms",
            "paused_at_ms",
            "resumed_at_ms",
            "ended_at_ms",
            "completed_at_ms",
        ),
        *(
            "recorded_ms",
            "active_since_ms",
            "trashed_at_ms",
            "audio_deleted_at_ms",
            "topics",
            "phases",
            "phase",
            "agent",
            "on_leave",
            "expected_segments",
            "balance",
        ),
    ),
    "participant": _of(participants),
    "tag": _of(session_tags),
    "track": _of(
        tracks,
        *("id", "session_id", "number", "kind", "participant_id", "device_id", "name", "started_at_ms"),
        *("expected_segments", "expected_ms", "is_ended"),
    ),
    "step": _of(history),
    "entry": _of(entries),
    "phase": _of(phase_changes),
    "marker": _of(markers),
    "summary": _of(summaries),
}
"""By the `kind` in the record's head."""


def is_noted(kind: str, columns: Iterable[str]) -> bool:
    """Whether a change of these columns has to be noted: not all of them can be derived."""
    return not set(columns).isdisjoint(KINDS[kind].columns)


def note(c: Connection, kind: str, session_id: str, *key: object) -> None:
    """A row was made, changed or removed in this transaction.

    Args:
        c: The transaction.
        kind: One of `KINDS`.
        session_id: Of which session it is.
        key: The row's primary key, in the table's order.
    """
    c.info.setdefault(NOTED, {})[kind, session_id, key] = None


def forget(c: Connection) -> None:
    """The transaction is over."""
    c.info.pop(NOTED, None)


class Journal:
    """Appends what was noted to the packs."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def write(self, c: Connection) -> None:
        """At the end of a transaction: its noted rows, as they are now, are durable in the packs when this returns.

        Raises:
            StorageFull, StorageFailed: The disk refused; then the transaction must not be committed.
        """
        noted = c.info.get(NOTED)
        if noted:
            self._blobs.append(StoreName.PACKS, [_record(c, *one) for one in noted])


def _record(c: Connection, kind: str, session_id: str, key: tuple[object, ...]) -> Record:
    """What a record says: kind, session and key in the head, the row as JSON in the body; none when it is gone."""
    table, columns = KINDS[kind].table, KINDS[kind].columns
    same = [column == value for column, value in zip(table.primary_key.columns, key, strict=True)]
    row = c.execute(select(*(table.c[name] for name in columns)).where(and_(*same))).one_or_none()
    head = {"kind": kind, "session": session_id, "key": list(key)}
    if row is None:
        return Record(head=head | {"body": "none", "size": 0})
    body = _json_of(row)
    return Record(head=head | {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body)}, body=[body])


def _json_of(row: Row[tuple[object, ...]]) -> bytes:
    return json.dumps(dict(row._mapping), ensure_ascii=False, separators=(",", ":")).encode()
