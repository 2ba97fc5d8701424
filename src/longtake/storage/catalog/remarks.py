"""Markers, phases and written summaries: rows ⇄ model; and what stands on the timeline, a page at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, Row, Table, delete, func, insert, select, tuple_

from longtake.model.errors import NotFound
from longtake.model.remarks import ORDER, Item, ItemKind, Marker, PhaseChange, Written
from longtake.storage.catalog.paging import LAST
from longtake.storage.journal import note
from longtake.storage.tables import entries
from longtake.storage.tables_remarks import markers, phase_changes, summaries


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Which part of a timeline: what begins in [from_ms, to_ms), behind a place; at most `limit` of each kind."""

    from_ms: int = 0
    to_ms: int | None = None
    after: tuple[int, int, str] | None = None
    limit: int | None = None

    def begins_behind(self, kind: ItemKind) -> tuple[int, str]:
        """(start_ms, id) behind which the things of a kind begin."""
        first = (self.from_ms - 1, LAST)
        if self.after is None:
            return first
        start_ms, order, key = self.after
        if order == ORDER[kind]:
            return max(first, (start_ms, key))
        return max(first, (start_ms, "" if order < ORDER[kind] else LAST))

    def has(self, item: Item) -> bool:
        """Whether a thing that was not looked up by time stands in it."""
        is_before_end = self.to_ms is None or item.start_ms < self.to_ms
        return is_before_end and (item.start_ms, item.id) > self.begins_behind(item.kind)


def insert_marker(c: Connection, marker: Marker) -> None:
    """Store a marker."""
    c.execute(
        insert(markers).values(
            id=marker.id,
            session_id=marker.session_id,
            start_ms=marker.at_ms,
            label=marker.label,
            author=marker.author,
            created_at_ms=marker.created_at_ms,
        )
    )
    note(c, "marker", marker.session_id, marker.id)


def delete_marker(c: Connection, session_id: str, marker_id: str) -> None:
    """Remove a marker; raises NotFound."""
    where = (markers.c.id == marker_id, markers.c.session_id == session_id)
    if c.execute(delete(markers).where(*where)).rowcount == 0:
        raise NotFound("marker", marker_id)
    note(c, "marker", session_id, marker_id)


def list_markers(c: Connection, session_id: str, span: Span) -> list[Marker]:
    """Markers by media time."""
    return [_marker(row) for row in _rows(c, markers, session_id, span, ItemKind.MARKER)]


def insert_phase(c: Connection, session_id: str, change: PhaseChange) -> None:
    """Add to the history of a session's phases."""
    count = select(func.count()).select_from(phase_changes).where(phase_changes.c.session_id == session_id)
    number = c.execute(count).scalar_one()
    c.execute(
        insert(phase_changes).values(
            session_id=session_id,
            number=number,
            phase=change.phase,
            at_ms=change.at_ms,
            start_ms=change.start_ms,
            actor=change.actor,
        )
    )
    note(c, "phase", session_id, session_id, number)


def list_phases(c: Connection, session_id: str) -> list[PhaseChange]:
    """The history of a session's phases, oldest first."""
    query = select(phase_changes).where(phase_changes.c.session_id == session_id).order_by(phase_changes.c.number)
    return [
        PhaseChange(phase=row.phase, at_ms=row.at_ms, start_ms=row.start_ms, actor=row.actor)
        for row in c.execute(query)
    ]


def put_written(c: Connection, session_id: str, written: Written | None) -> None:
    """Store, replace or (None) remove what somebody wrote."""
    c.execute(delete(summaries).where(summaries.c.session_id == session_id))
    if written is not None:
        c.execute(
            insert(summaries).values(
                session_id=session_id,
                text=written.text,
                author=written.author,
                written_at_ms=written.written_at_ms,
            )
        )
    note(c, "summary", session_id, session_id)


def find_written(c: Connection, session_id: str) -> Written | None:
    """What somebody wrote, or None."""
    row = c.execute(select(summaries).where(summaries.c.session_id == session_id)).one_or_none()
    return None if row is None else Written(text=row.text, author=row.author, written_at_ms=row.written_at_ms)


def entry_items(c: Connection, session_id: str, span: Span) -> list[Item]:
    """What was said, by media time."""
    return [
        Item(
            kind=ItemKind.ENTRY,
            id=row.id,
            start_ms=row.start_ms,
            end_ms=row.end_ms,
            text=row.text,
            speaker=row.speaker,
            track_id=row.track_id,
        )
        for row in _rows(c, entries, session_id, span, ItemKind.ENTRY)
    ]


def marker_items(c: Connection, session_id: str, span: Span) -> list[Item]:
    """Markers as things on the timeline."""
    return [
        Item(
            kind=ItemKind.MARKER,
            id=one.id,
            start_ms=one.at_ms,
            end_ms=None,
            text=one.label or "",
            speaker=one.author,
        )
        for one in list_markers(c, session_id, span)
    ]


def _rows(
    c: Connection, table: Table, session_id: str, span: Span, kind: ItemKind
) -> Iterable[Row[tuple[object, ...]]]:
    query = select(table).where(
        table.c.session_id == session_id,
        tuple_(table.c.start_ms, table.c.id) > tuple_(*span.begins_behind(kind)),
    )
    if span.to_ms is not None:
        query = query.where(table.c.start_ms < span.to_ms)
    return c.execute(query.order_by(table.c.start_ms, table.c.id).limit(span.limit))


def _marker(row: Row[tuple[object, ...]]) -> Marker:
    return Marker(
        id=row.id,
        session_id=row.session_id,
        at_ms=row.start_ms,
        label=row.label,
        author=row.author,
        created_at_ms=row.created_at_ms,
    )
