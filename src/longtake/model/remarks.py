"""What people add to a session while or after it is recorded: markers, phases, a summary; and all of it by time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from longtake.model.lifecycle import SessionState
from longtake.model.session import Session
from longtake.model.timeline import ns_to_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """A moment that somebody flagged, on the session's media timeline."""

    id: str
    session_id: str
    at_ms: int
    label: str | None
    author: str
    created_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseChange:
    """From `start_ms` of media time on (`at_ms` since the Unix epoch) the session was in this phase; None: in none."""

    phase: str | None
    at_ms: int
    start_ms: int
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A summary that somebody wrote."""

    text: str
    author: str
    written_at_ms: int


class ItemKind(StrEnum):
    """What stands on the timeline, in the order of things that begin at once."""

    CHAPTER = "chapter"
    PHASE = "phase"
    GAP = "gap"
    MARKER = "marker"
    ENTRY = "entry"
    TASK = "task"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something on the timeline. `text` is what it says: a title, a label, a phase, words, why there is a gap."""

    kind: ItemKind
    id: str
    start_ms: int
    end_ms: int | None
    text: str
    speaker: str | None = None
    track_id: str | None = None

    @property
    def place(self) -> tuple[int, int, str]:
        """Where it stands among all."""
        return self.start_ms, ORDER[self.kind], self.id


ORDER = {kind: number for number, kind in enumerate(ItemKind)}


def media_now_ms(session: Session, now_ms: int) -> int:
    """Where on its media timeline a session is: as long as it was active by the clock, but never before its end."""
    length_ms = ns_to_ms(session.length_ns)
    if session.state is SessionState.COMPLETED:
        return max(length_ms, session.total_duration_ms)
    running_ms = 0 if session.active_since_ms is None else max(0, now_ms - session.active_since_ms)
    return max(length_ms, session.recorded_ms + running_ms)


def is_phase(phase: str | None, phases: Sequence[str]) -> bool:
    """Whether a session may be in this phase: one of its own, any where it has none, or none at all."""
    return phase is None or not phases or phase in phases
