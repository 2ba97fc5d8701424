"""Where a track has speech: rows ⇄ model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select

from longtake.storage.tables import utterances


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A stretch of speech, in 16 kHz samples of the track's timeline, and the entry it became."""

    start: int
    end: int
    key: str
    entry_id: str | None


def list_spoken(c: Connection, track_id: str, from_sample: int = 0, until_sample: int | None = None) -> list[Spoken]:
    """The utterances of a track that start in [from, until), in order."""
    query = select(utterances).where(_starts_in(track_id, from_sample, until_sample))
    return [
        Spoken(start=row.start, end=row.end, key=row.key, entry_id=row.entry_id)
        for row in c.execute(query.order_by(utterances.c.start))
    ]


def replace_spoken(
    c: Connection, track_id: str, from_sample: int, until_sample: int | None, new: Sequence[Spoken]
) -> None:
    """Put these in place of all that start in [from, until)."""
    c.execute(delete(utterances).where(_starts_in(track_id, from_sample, until_sample)))
    rows = [{"track_id": track_id, "start": s.start, "end": s.end, "key": s.key, "entry_id": s.entry_id} for s in new]
    if rows:
        c.execute(insert(utterances), rows)


def _starts_in(track_id: str, from_sample: int, until_sample: int | None) -> ColumnElement[bool]:
    found = and_(utterances.c.track_id == track_id, utterances.c.start >= from_sample)
    return found if until_sample is None else and_(found, utterances.c.start < until_sample)
