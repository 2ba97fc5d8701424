"""The commands by which people add to a session: markers, phases, a summary of their own; and the whole timeline."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from heapq import merge
from itertools import islice

from sqlalchemy import Connection

from longtake.model.errors import Invalid, UnknownPhase
from longtake.model.remarks import ORDER, Item, ItemKind, Marker, PhaseChange, Written, is_phase, media_now_ms
from longtake.sessions.manager import Sessions
from longtake.storage.catalog import remarks, sessions, transcript
from longtake.storage.catalog.paging import page_of, position
from longtake.storage.catalog.remarks import Span
from longtake.storage.store import Store

MAX_LABEL = 500
MAX_SUMMARY = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """The phase that a session is in, those it may be in, and how it got there."""

    phase: str | None
    phases: tuple[str, ...]
    history: tuple[PhaseChange, ...]


class Remarks:
    """What people add. Every method is one transaction and may be called from any thread."""

    def __init__(self, store: Store, manager: Sessions) -> None:
        self._store = store
        self._sessions = manager

    def mark(self, session_id: str, *, at_ms: int | None = None, label: str | None = None, author: str) -> Marker:
        """Flag a moment; without a time it is now: where the session's media timeline is just then."""
        label = label.strip() if label else None
        if label and len(label) > MAX_LABEL:
            raise Invalid(f"a label has at most {MAX_LABEL} characters")
        with self._store.db.write() as c:
            session = sessions.open_session(c, session_id)
            now_ms = self._store.now_ms()
            marker = Marker(
                id=self._store.new_id(),
                session_id=session_id,
                at_ms=media_now_ms(session, now_ms) if at_ms is None else at_ms,
                label=label or None,
                author=author,
                created_at_ms=now_ms,
            )
            remarks.insert_marker(c, marker)
            sessions.update_session(c, session_id, last_activity_at_ms=now_ms)
        return marker

    def unmark(self, session_id: str, marker_id: str) -> None:
        """Remove a marker; raises NotFound."""
        with self._store.db.write() as c:
            sessions.open_session(c, session_id)
            remarks.delete_marker(c, session_id, marker_id)

    def markers(
        self, session_id: str, *, limit: int = 50, cursor: str | None = None
    ) -> tuple[list[Marker], str | None]:
        """A page of markers by media time, and the cursor of the next page."""
        at = position(cursor, int, str)
        after = None if at is None else (at[0], ORDER[ItemKind.MARKER], at[1])
        with self._store.db.read() as c:
            sessions.session_state(c, session_id)
            found = remarks.list_markers(c, session_id, Span(after=after, limit=limit + 1))
        return page_of(found, limit, lambda marker: (marker.at_ms, marker.id))

    def set_phase(self, session_id: str, phase: str | None, *, actor: str) -> Phases:
        """Move a session into a phase (None: into none); where it already is nothing happens.

        Raises:
            UnknownPhase: It is none of the session's.
        """
        with self._store.db.write() as c:
            session = sessions.open_session(c, session_id)
            if not is_phase(phase, session.phases):
                raise UnknownPhase(phase or "", session.phases)
            now_ms = self._store.now_ms()
            is_new = phase != session.phase
            if is_new:
                change = PhaseChange(phase=phase, at_ms=now_ms, start_ms=media_now_ms(session, now_ms), actor=actor)
                remarks.insert_phase(c, session_id, change)
                sessions.update_session(c, session_id, phase=phase, last_activity_at_ms=now_ms)
            phases = self._phases(c, session_id)
        if is_new:
            self._store.bus.publish("phase_changed", session_id, phase=phase, at_ms=now_ms)
        return phases

    def phases(self, session_id: str) -> Phases:
        """The phase that a session is in, and how it got there; raises NotFound."""
        with self._store.db.read() as c:
            return self._phases(c, session_id)

    def write_summary(self, session_id: str, text: str | None, *, author: str) -> Written | None:
        """Store what somebody says it was about, beside what is made; None or nothing takes it away again."""
        text = (text or "").strip()
        if len(text) > MAX_SUMMARY:
            raise Invalid(f"a summary has at most {MAX_SUMMARY} characters")
        with self._store.db.write() as c:
            sessions.open_session(c, session_id)
            now_ms = self._store.now_ms()
            written = Written(text=text, author=author, written_at_ms=now_ms) if text else None
            remarks.put_written(c, session_id, written)
            sessions.update_session(c, session_id, last_activity_at_ms=now_ms)
        self._store.bus.publish("summary_updated", session_id, summary=text or None)
        return written

    def written(self, session_id: str) -> Written | None:
        """What somebody wrote, or None; raises NotFound."""
        with self._store.db.read() as c:
            sessions.session_state(c, session_id)
            return remarks.find_written(c, session_id)

    def timeline(
        self,
        session_id: str,
        *,
        kinds: Collection[ItemKind] = (),
        from_ms: int = 0,
        to_ms: int | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> tuple[list[Item], str | None]:
        """A page of everything that begins in [from_ms, to_ms), by media time, and the cursor of the next page."""
        span = Span(from_ms=from_ms, to_ms=to_ms, after=position(cursor, int, int, str), limit=limit + 1)
        wanted = set(kinds or ItemKind)
        gaps = self._gaps(session_id) if ItemKind.GAP in wanted else []
        with self._store.db.read() as c:
            sessions.session_state(c, session_id)
            parts: list[Iterable[Item]] = [gaps, _outlined(c, session_id), _phase_items(c, session_id)]
            parts = [sorted((one for one in part if span.has(one)), key=_place) for part in parts]
            if ItemKind.ENTRY in wanted:
                parts.append(remarks.entry_items(c, session_id, span))
            if ItemKind.MARKER in wanted:
                parts.append(remarks.marker_items(c, session_id, span))
        found = list(islice((one for one in merge(*parts, key=_place) if one.kind in wanted), limit + 1))
        return page_of(found, limit, _place)

    def _phases(self, c: Connection, session_id: str) -> Phases:
        session = sessions.get_session(c, session_id)
        history = remarks.list_phases(c, session_id)
        return Phases(phase=session.phase, phases=session.phases, history=tuple(history))

    def _gaps(self, session_id: str) -> list[Item]:
        """The gaps of all tracks; segments are looked at only where there are any."""
        session = self._sessions.get(session_id)
        if not any(one.gap_count for one in self._sessions.figures(session)):
            return []
        return [
            Item(
                kind=ItemKind.GAP,
                id=f"{one.track.id}/{gap.start_ms}",
                start_ms=gap.start_ms,
                end_ms=gap.end_ms,
                text=gap.cause.value,
                track_id=one.track.id,
            )
            for one in self._sessions.coverage(session_id)
            for gap in one.coverage.gaps
        ]


def _outlined(c: Connection, session_id: str) -> list[Item]:
    """Chapters and tasks, as far as they are made."""
    found = transcript.find_outline(c, session_id)
    if found is None:
        return []
    chapters = [
        Item(
            kind=ItemKind.CHAPTER,
            id=f"chapter-{number:03}",
            start_ms=one.start_ms,
            end_ms=one.end_ms,
            text=one.title,
        )
        for number, one in enumerate(found[1].chapters, 1)
    ]
    tasks = [
        Item(
            kind=ItemKind.TASK,
            id=f"task-{number}",
            start_ms=one.at_ms,
            end_ms=None,
            text=one.text,
            speaker=one.speaker,
        )
        for number, one in enumerate(found[1].tasks, 1)
    ]
    return chapters + tasks


def _phase_items(c: Connection, session_id: str) -> list[Item]:
    """Each phase from its beginning to the next."""
    changes = remarks.list_phases(c, session_id)
    ends: list[int | None] = [one.start_ms for one in changes[1:]]
    return [
        Item(
            kind=ItemKind.PHASE,
            id=f"phase-{number:06}",
            start_ms=one.start_ms,
            end_ms=end,
            text=one.phase,
            speaker=one.actor,
        )
        for number, (one, end) in enumerate(zip(changes, [*ends, None], strict=False), 1)
        if one.phase is not None
    ]


def _place(item: Item) -> tuple[int, int, str]:
    return item.place
