"""Figures over everything: how many sessions, how much is stored. Counted in the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from longtake.model.lifecycle import RECORDING, JobState, SessionState
from longtake.model.session import Counts, ProcessingStatus, processing_status
from longtake.storage.tables import blobs, jobs, sessions, tracks


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Counts and sums; the trash is left out of all but the bytes. `recorded_ms` sums the sessions' lengths."""

    by_state: Mapping[SessionState, int]
    by_processing: Mapping[ProcessingStatus, int]
    recorded_ms: int
    bytes_by_store: Mapping[str, int]
    devices: int


def active_count(c: Connection) -> int:
    """How many sessions are being recorded."""
    query = select(func.count()).select_from(sessions)
    return c.execute(query.where(sessions.c.state.in_(RECORDING), sessions.c.trashed_at_ms.is_(None))).scalar_one()


def gather(c: Connection) -> Figures:
    """All figures."""
    latest_job = (
        select(jobs.c.status)
        .where(jobs.c.session_id == sessions.c.id)
        .order_by(jobs.c.created_at_ms.desc(), jobs.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    each = (
        select(
            sessions.c.state,
            *(
                (func.coalesce(func.sum(tracks.c[f"n_{name}"]), 0) > 0).label(name)
                for name in ("pending", "processing", "completed", "failed")
            ),
            func.coalesce(func.max(tracks.c.length_ns), 0).label("length_ns"),
            latest_job.label("job"),
        )
        .select_from(sessions.outerjoin(tracks, tracks.c.session_id == sessions.c.id))
        .where(sessions.c.trashed_at_ms.is_(None))
        .group_by(sessions.c.id)
        .subquery()
    )
    groups = [each.c[name] for name in ("state", "pending", "processing", "completed", "failed", "job")]
    by_state: Counter[SessionState] = Counter()
    by_processing: Counter[ProcessingStatus] = Counter()
    recorded_ns = 0
    for row in c.execute(
        select(*groups, func.count().label("n"), func.sum(each.c.length_ns).label("ns")).group_by(*groups)
    ):
        counts = Counts(
            pending=int(row.pending),
            processing=int(row.processing),
            completed=int(row.completed),
            failed=int(row.failed),
        )
        by_state[SessionState(row.state)] += row.n
        by_processing[processing_status(counts, None if row.job is None else JobState(row.job))] += row.n
        recorded_ns += row.ns
    stored = c.execute(select(blobs.c.store, func.sum(blobs.c.size_bytes)).group_by(blobs.c.store))
    devices = select(func.count(func.distinct(sessions.c.device_id))).where(sessions.c.trashed_at_ms.is_(None))
    return Figures(
        by_state=by_state,
        by_processing=by_processing,
        recorded_ms=recorded_ns // 1_000_000,
        bytes_by_store={str(store): int(size) for store, size in stored},
        devices=c.execute(devices).scalar_one(),
    )
