"""Transcript entries, recognitions and the outline: rows ⇄ model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, Row, and_, delete, insert, or_, select, update

from longtake.model.errors import NotFound
from longtake.model.transcript import Chapter, Entry, Outline, Task, Word
from longtake.storage.journal import note
from longtake.storage.tables import entries, outlines, recognitions

BY_PEOPLE = or_(entries.c.track_id.is_(None), entries.c.corrected)
"""What nothing can make again; all other entries are heard in the sound."""


def insert_entries(c: Connection, new: Sequence[Entry]) -> None:
    """Store entries."""
    if new:
        c.execute(
            insert(entries),
            [
                {
                    "id": e.id,
                    "session_id": e.session_id,
                    "track_id": e.track_id,
                    "speaker": e.speaker,
                    "text": e.text,
                    "start_ms": e.start_ms,
                    "end_ms": e.end_ms,
                    "at_ms": e.at_ms,
                    "first_segment": e.segments[0] if e.segments else None,
                    "last_segment": e.segments[1] if e.segments else None,
                    "engine": e.engine,
                    "model": e.model,
                    "is_draft": e.is_draft,
                    "confidence": e.confidence,
                    "words": _pack_words(e.words),
                    "corrected": e.corrected,
                }
                for e in new
            ],
        )
    for e in new:
        if e.track_id is None or e.corrected:
            note(c, "entry", e.session_id, e.id)


def entries_heard(c: Connection, track_id: str, from_ms: int, until_ms: int | None) -> list[Entry]:
    """The entries of a track that start in [from, until), in order."""
    query = select(entries).where(entries.c.track_id == track_id, entries.c.start_ms >= from_ms)
    query = query if until_ms is None else query.where(entries.c.start_ms < until_ms)
    return [_entry(row) for row in c.execute(query.order_by(entries.c.start_ms, entries.c.id))]


def delete_entries(c: Connection, ids: Sequence[str]) -> None:
    """Remove entries."""
    for row in c.execute(select(entries.c.session_id, entries.c.id).where(entries.c.id.in_(ids), BY_PEOPLE)):
        note(c, "entry", row.session_id, row.id)
    c.execute(delete(entries).where(entries.c.id.in_(ids)))


def correct_entry(c: Connection, session_id: str, entry_id: str, text: str) -> Entry:
    """Replace an entry's text by a person's; raises NotFound."""
    where = and_(entries.c.id == entry_id, entries.c.session_id == session_id)
    if c.execute(update(entries).where(where).values(text=text, corrected=True)).rowcount == 0:
        raise NotFound("entry", entry_id)
    note(c, "entry", session_id, entry_id)
    return _entry(c.execute(select(entries).where(where)).one())


def rename_speaker(c: Connection, session_id: str, speaker: str, name: str) -> int:
    """Give a speaker another name in all entries of a session; returns how many there were."""
    where = and_(entries.c.session_id == session_id, entries.c.speaker == speaker)
    for entry_id in c.execute(select(entries.c.id).where(where, BY_PEOPLE)).scalars():
        note(c, "entry", session_id, entry_id)
    return c.execute(update(entries).where(where).values(speaker=name)).rowcount


def list_entries(
    c: Connection, session_id: str, *, limit: int | None = None, after: tuple[int, str] | None = None
) -> list[Entry]:
    """A session's entries by time, from behind a position (start_ms, id)."""
    query = select(entries).where(entries.c.session_id == session_id)
    if after is not None:
        start_ms, entry_id = after
        query = query.where(
            or_(entries.c.start_ms > start_ms, and_(entries.c.start_ms == start_ms, entries.c.id > entry_id))
        )
    query = query.order_by(entries.c.start_ms, entries.c.id)
    return [_entry(row) for row in c.execute(query if limit is None else query.limit(limit))]


def entries_of_segments(c: Connection, track_id: str, first: int, last: int) -> list[Entry]:
    """What was heard on a track in the segments [first, last], in order."""
    query = select(entries).where(
        entries.c.track_id == track_id, entries.c.first_segment <= last, entries.c.last_segment >= first
    )
    return [_entry(row) for row in c.execute(query.order_by(entries.c.start_ms, entries.c.id))]


def find_recognition(c: Connection, key: str) -> tuple[str, tuple[Word, ...], float | None] | None:
    """What was heard in an utterance: text, words (times from its start), confidence."""
    row = c.execute(select(recognitions).where(recognitions.c.key == key)).one_or_none()
    return None if row is None else (row.text, _unpack_words(row.words), row.confidence)


def insert_recognition(
    c: Connection, key: str, session_id: str, text: str, words: Sequence[Word], confidence: float | None
) -> None:
    """Remember what was heard; a second time changes nothing."""
    if find_recognition(c, key) is None:
        c.execute(
            insert(recognitions).values(
                key=key, session_id=session_id, text=text, words=_pack_words(words), confidence=confidence
            )
        )


def put_outline(c: Connection, session_id: str, made_from: str, outline: Outline) -> None:
    """Store or replace a session's outline."""
    c.execute(delete(outlines).where(outlines.c.session_id == session_id))
    c.execute(insert(outlines).values(session_id=session_id, made_from=made_from, outline=asdict(outline)))


def find_outline(c: Connection, session_id: str) -> tuple[str, Outline] | None:
    """What the outline was made from, and the outline; None while there is none."""
    row = c.execute(select(outlines).where(outlines.c.session_id == session_id)).one_or_none()
    if row is None:
        return None
    o = row.outline
    return row.made_from, Outline(
        made_by=o["made_by"],
        chapters=tuple(Chapter(**chapter) for chapter in o["chapters"]),
        summary=tuple(o["summary"]),
        topics=tuple(o["topics"]),
        tasks=tuple(Task(**task) for task in o["tasks"]),
    )


def _pack_words(words: Sequence[Word]) -> list[list[object]]:
    return [[w.text, w.start_ms, w.end_ms, w.confidence] for w in words]


def _unpack_words(packed: Sequence[Sequence[object]]) -> tuple[Word, ...]:
    return tuple(
        Word(text=str(text), start_ms=start, end_ms=end, confidence=confidence)  # type: ignore[arg-type]
        for text, start, end, confidence in packed
    )


def _entry(row: Row[tuple[object, ...]]) -> Entry:
    return Entry(
        id=row.id,
        session_id=row.session_id,
        track_id=row.track_id,
        speaker=row.speaker,
        text=row.text,
        start_ms=row.start_ms,
        end_ms=row.end_ms,
        at_ms=row.at_ms,
        segments=None if row.first_segment is None else (row.first_segment, row.last_segment),
        engine=row.engine,
        model=row.model,
        is_draft=row.is_draft,
        confidence=row.confidence,
        words=_unpack_words(row.words),
        corrected=row.corrected,
    )
