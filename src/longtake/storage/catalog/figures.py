"""Figures over everything: how many sessions, how much is stored. Counted in the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, text

from longtake.model.lifecycle import RECORDING, JobState, SessionState
from longtake.model.session import ProcessingStatus
from longtake.storage.tables import sessions
from longtake.storage.tables_lookups import tallies


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Counts and sums; the trash is left out of all but the bytes. `recorded_ms` sums the sessions' lengths."""

    by_state: Mapping[SessionState, int]
    by_processing: Mapping[ProcessingStatus, int]
    recorded_ms: int
    bytes_by_store: Mapping[str, int]
    jobs: Mapping[JobState, int]
    devices: int


DEVICES = text(
    "WITH RECURSIVE d (id) AS (SELECT min(word) FROM session_words WHERE kind = 'device' UNION ALL "
    "SELECT (SELECT min(word) FROM session_words WHERE kind = 'device' AND word > d.id) FROM d WHERE d.id IS NOT NULL) "
    "SELECT count(id) FROM d"
)
"""How many devices have recorded: one step in the index for each, not one for each session."""


def active_count(c: Connection) -> int:
    """How many sessions are being recorded."""
    query = select(func.count()).select_from(sessions)
    return c.execute(query.where(sessions.c.state.in_(RECORDING), sessions.c.trashed_at_ms.is_(None))).scalar_one()


def gather(c: Connection) -> Figures:
    """All figures: what is kept in tallies, however many rows there are."""
    by_state: Counter[SessionState] = Counter()
    by_processing: Counter[ProcessingStatus] = Counter()
    jobs: Counter[JobState] = Counter()
    by_store: dict[str, int] = {}
    recorded_ns = 0
    wanted = tallies.c.kind.in_(("session", "bytes", "job"))
    for kind, word, count, total in c.execute(select(tallies).where(wanted, tallies.c.count > 0)):
        if kind == "bytes":
            by_store[word] = total
        elif kind == "job":
            jobs[JobState(word)] = count
        else:
            state, _, processing = word.partition(" ")
            by_state[SessionState(state)] += count
            by_processing[ProcessingStatus(processing)] += count
            recorded_ns += total
    return Figures(
        by_state=by_state,
        by_processing=by_processing,
        recorded_ms=recorded_ns // 1_000_000,
        bytes_by_store=by_store,
        jobs=jobs,
        devices=c.execute(DEVICES).scalar_one(),
    )
