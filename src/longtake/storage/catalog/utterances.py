"""Where a track has speech: rows ⇄ model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from longtake.storage.tables import utterances


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A stretch of speech, in 16 kHz samples of the track's timeline, and the entry it became."""

    start: int
    end: int
    key: str
    entry_id: str | None


def list_spoken(c: Connection, track_id: str, from_sample: int = 0) -> list[Spoken]:
    """The utterances of a track that start at or after a sample, in order."""
    query = select(utterances).where(utterances.c.track_id == track_id, utterances.c.start >= from_sample)
    return [
        Spoken(start=row.start, end=row.end, key=row.key, entry_id=row.entry_id)
        for row in c.execute(query.order_by(utterances.c.start))
    ]


def replace_spoken(c: Connection, track_id: str, from_sample: int, new: Sequence[Spoken]) -> None:
    """Put these in place of all that start at or after a sample."""
    c.execute(delete(utterances).where(utterances.c.track_id == track_id, utterances.c.start >= from_sample))
    rows = [{"track_id": track_id, "start": s.start, "end": s.end, "key": s.key, "entry_id": s.entry_id} for s in new]
    if rows:
        c.execute(insert(utterances), rows)
