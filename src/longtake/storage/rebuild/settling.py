"""What follows from the records that were read: where bytes lie, counters, states, and work for the lanes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import delete, func, insert, select, text, update

from longtake.model.lifecycle import SessionState, TrackHealth, TrackState
from longtake.model.session import Mode, Priority, TrackKind
from longtake.storage.blobs import StoreName
from longtake.storage.catalog.jobs import enqueue
from longtake.storage.journal import KINDS
from longtake.storage.packs import digest_of
from longtake.storage.rebuild.records import Records
from longtake.storage.rebuild.result import Lost
from longtake.storage.tables import blobs, entries, history, segments, sessions, tracks, utterances

STILL = frozenset({SessionState.IDLE, SessionState.WAITING, SessionState.COMPLETED, SessionState.ERROR})
"""States that a session keeps; one that was on its way between two, or being recorded, was interrupted."""
SPEECH_SAMPLES_PER_MS = 16
EVENT = "rebuilt"
"""In a session's history: no event of its lifecycle."""


def settle(records: Records, now_ms: int, new_id: Callable[[], str]) -> None:
    """Make of the records that were read a database that a server goes on with."""
    _Settling(records, now_ms, new_id).run()


class _Settling:
    def __init__(self, records: Records, now_ms: int, new_id: Callable[[], str]) -> None:
        self._records = records
        self._c = records.c
        self._result = records.result
        self._now_ms = now_ms
        self._new_id = new_id

    def run(self) -> None:
        self._c.exec_driver_sql("CREATE INDEX rebuilding ON segments (sha256)")
        self._find_bytes()
        self._name_the_unnamed()
        self._finish_entries()
        self._finish_tracks()
        self._finish_sessions()
        self._count()
        self._c.exec_driver_sql("DROP INDEX rebuilding")

    def _find_bytes(self) -> None:
        """Bytes that are files of their own; then segments whose bytes are nowhere, or damaged, are known."""
        known = select(blobs.c.sha256)
        wanted = select(segments.c.sha256, segments.c.size_bytes).where(segments.c.sha256.not_in(known)).distinct()
        for row in self._c.execute(wanted).all():
            path = self._records.data / StoreName.FILES / row.sha256
            why = None
            if path.exists() and digest_of(path, 0, path.stat().st_size) == row.sha256:
                self._records.put_blob(row.sha256, row.size_bytes, StoreName.FILES, row.sha256, 0)
            elif path.exists():
                why = "its bytes are damaged"
                self._records.put_blob(row.sha256, row.size_bytes, StoreName.FILES, row.sha256, 0)
            elif row.sha256 in self._records.damaged:
                why = "its bytes are damaged"
                self._records.put_blob(row.sha256, row.size_bytes, *self._records.damaged[row.sha256])
            else:
                why = "its bytes are gone"
            if why is not None:
                self._lose(row.sha256, why)
        self._c.execute(delete(segments).where(segments.c.sha256.not_in(known)))
        used = select(segments.c.sha256)
        self._c.execute(delete(blobs).where(blobs.c.sha256.not_in(used)))
        self._c.execute(
            update(blobs).values(
                ref_count=select(func.count()).where(segments.c.sha256 == blobs.c.sha256).scalar_subquery()
            )
        )
        files = self._c.execute(select(func.count()).where(blobs.c.store == StoreName.FILES)).scalar_one()
        folder = self._records.data / StoreName.FILES
        self._result.unreferenced_files = sum(1 for _ in folder.iterdir()) - files if folder.exists() else 0

    def _lose(self, sha256: str, why: str) -> None:
        for row in self._c.execute(select(segments).where(segments.c.sha256 == sha256)):
            lost = Lost(
                session_id=self._records.session_of[row.track_id],
                track_id=row.track_id,
                index=row.number,
                start_ms=row.start_ms,
                why=why,
            )
            self._result.lost.append(lost)

    def _name_the_unnamed(self) -> None:
        """Sessions and tracks of which only segments are told."""
        known_tracks = set(self._c.execute(select(tracks.c.id)).scalars())
        known = set(self._c.execute(select(sessions.c.id)).scalars())
        for track_id, session_id in self._records.session_of.items():
            figures = select(func.count(), func.min(segments.c.stored_at_ms)).where(segments.c.track_id == track_id)
            count, first_ms = self._c.execute(figures).one()
            if session_id not in known:
                known.add(session_id)
                self._result.unnamed.append(session_id)
                self._records.put(sessions, self._unnamed(session_id, first_ms or self._now_ms))
            if track_id not in known_tracks and count:
                of_session = select(func.count()).where(tracks.c.session_id == session_id)
                is_still = str(self._records.mime_of.get(track_id)).startswith("image/")
                row = {
                    "id": track_id,
                    "session_id": session_id,
                    "number": self._c.execute(of_session).scalar_one(),
                    "kind": TrackKind.SCREENSHOTS if is_still else TrackKind.UPLOAD,
                    "state": TrackState.IDLE,
                    "health": TrackHealth.HEALTHY,
                    "metrics": {},
                }
                self._records.put(tracks, row)

    def _unnamed(self, session_id: str, at_ms: int) -> dict[str, object]:
        return {
            "id": session_id,
            "title": f"Recovered recording, {datetime.fromtimestamp(at_ms / 1000, tz=UTC):%Y-%m-%d}",
            "mode": Mode.SOLO,
            "recording_type": "segmented",
            "recording_config": {},
            "state": SessionState.ACTIVE,
            "created_at_ms": at_ms,
            "started_at_ms": at_ms,
            "last_activity_at_ms": at_ms,
            "topics": [],
            "phases": [],
            "on_leave": "keep",
            "balance": [[0, 0.5]],
            "mix_settled": False,
        }

    def _finish_entries(self) -> None:
        """Where an entry stands that somebody corrected: the speech lane finds it when it hears that anew."""
        corrected = select(entries).where(entries.c.corrected, entries.c.track_id.is_not(None))
        for row in self._c.execute(corrected).all():
            place = {
                "track_id": row.track_id,
                "start": row.start_ms * SPEECH_SAMPLES_PER_MS,
                "end": row.end_ms * SPEECH_SAMPLES_PER_MS,
                "key": hashlib.sha256(row.id.encode()).hexdigest(),
                "entry_id": row.id,
            }
            self._records.put(utterances, place)

    def _finish_tracks(self) -> None:
        """Counters are the segments; every lane has work."""
        of_track = segments.c.track_id == tracks.c.id
        self._c.execute(
            update(tracks).values(
                n_pending=select(func.count()).where(of_track).scalar_subquery(),
                size_bytes=select(func.coalesce(func.sum(segments.c.size_bytes), 0)).where(of_track).scalar_subquery(),
                media_settled=False,
                speech_settled=False,
            )
        )

    def _finish_sessions(self) -> None:
        """What ended is ended and is enriched anew; what was being recorded was interrupted."""
        for row in self._c.execute(select(sessions.c.id, sessions.c.state, sessions.c.trashed_at_ms)).all():
            own = tracks.c.session_id == row.id
            stored = (
                select(func.max(segments.c.stored_at_ms)).join(tracks, tracks.c.id == segments.c.track_id).where(own)
            )
            last_ms = self._c.execute(stored).scalar()
            if last_ms is not None:
                self._c.execute(
                    update(sessions)
                    .where(sessions.c.id == row.id, sessions.c.last_activity_at_ms < last_ms)
                    .values(last_activity_at_ms=last_ms)
                )
            if row.state == SessionState.COMPLETED:
                self._c.execute(update(tracks).where(own).values(state=TrackState.STOPPED, is_ended=True))
                has_tracks = self._c.execute(select(func.count()).select_from(tracks).where(own)).scalar_one()
                if row.trashed_at_ms is None and has_tracks:
                    enqueue(self._c, row.id, now_ms=self._now_ms, new_id=self._new_id, priority=Priority.LOW)
            elif row.state not in STILL:
                self._c.execute(update(tracks).where(own).values(state=TrackState.ACTIVE))
                self._interrupt(row.id, row.state)

    def _interrupt(self, session_id: str, state: str) -> None:
        if state != SessionState.INTERRUPTED:
            where = sessions.c.id == session_id
            heard = func.max(0, sessions.c.last_activity_at_ms - sessions.c.active_since_ms)
            recorded = sessions.c.recorded_ms + func.coalesce(heard, 0)
            self._c.execute(
                update(sessions)
                .where(where)
                .values(state=SessionState.INTERRUPTED, recorded_ms=recorded, active_since_ms=None)
            )
            last = select(func.coalesce(func.max(history.c.number), -1)).where(history.c.session_id == session_id)
            step = {
                "session_id": session_id,
                "number": self._c.execute(last).scalar_one() + 1,
                "at_ms": self._now_ms,
                "from_state": state,
                "to_state": SessionState.INTERRUPTED,
                "event": EVENT,
                "actor": "rebuild",
                "cause": "the database was lost and made anew",
            }
            self._c.execute(insert(history).values(step))

    def _count(self) -> None:
        """The figures; and rows that belong to nothing (their session's record is damaged) go."""
        for kind in ("participant", "tag", "step", "entry", "phase", "marker", "summary"):
            table = KINDS[kind].table
            self._c.execute(delete(table).where(table.c.session_id.not_in(select(sessions.c.id))))
        self._c.execute(delete(utterances).where(utterances.c.track_id.not_in(select(tracks.c.id))))
        self._c.execute(delete(tracks).where(tracks.c.session_id.not_in(select(sessions.c.id))))
        assert not self._c.execute(text("PRAGMA foreign_key_check")).all(), "rows that refer to nothing"
        self._result.sessions = self._c.execute(select(func.count()).select_from(sessions)).scalar_one()
        count, size = self._c.execute(
            select(func.count(), func.coalesce(func.sum(segments.c.size_bytes), 0)).select_from(segments)
        ).one()
        self._result.segments, self._result.size_bytes = count, int(size)
