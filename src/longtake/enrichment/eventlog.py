"""The session as `log.csv`: timestamp, session_id, speaker, text; what happened stands there as said by `SYSTEM`."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime

from longtake.model.lifecycle import SessionState
from longtake.model.remarks import PhaseChange
from longtake.model.session import Session, Transition
from longtake.model.transcript import Entry

COLUMNS = ("timestamp", "session_id", "speaker", "text")
SYSTEM = "SYSTEM"


def write_log(
    session: Session, history: Sequence[Transition], entries: Sequence[Entry], phases: Sequence[PhaseChange] = ()
) -> str:
    """Write the log.

    Args:
        history: Every step of the session's life, oldest first.
        entries: What was said, by media time; each stands at the moment at which it was recorded.
        phases: When each phase of the session began.

    Returns:
        CSV (RFC 4180): created, joined, phase, then what was said, and the end at last.
    """
    created_ms = session.created_at_ms
    system = [(created_ms, f"session created: {session.title}")]
    system += [(created_ms, f"{person.name or person.role} joined as {person.role}") for person in session.participants]
    system += [(change.at_ms, f"phase: {change.phase or 'none'}") for change in phases]
    stretches = recorded_stretches(session, history)
    said = [(wall_ms(stretches, entry.start_ms), entry.speaker, entry.text) for entry in entries]
    rows = sorted([(at_ms, SYSTEM, text) for at_ms, text in system] + said, key=lambda row: row[0])
    if session.ended_at_ms is not None:
        rows.append((session.ended_at_ms, SYSTEM, "session ended"))
    text = io.StringIO()
    out = csv.writer(text)
    out.writerow(COLUMNS)
    out.writerows((_iso(at_ms), session.id, speaker, said) for at_ms, speaker, said in rows)
    return text.getvalue()


def recorded_stretches(session: Session, history: Sequence[Transition]) -> list[tuple[int, int]]:
    """(media time, wall time) in ms at which each stretch of recording begins: pauses are left out of media time."""
    stretches: list[tuple[int, int]] = []
    media_ms, since_ms = 0, None
    for step in history:
        if step.to_state is SessionState.ACTIVE:
            stretches.append((media_ms, step.at_ms))
            since_ms = step.at_ms
        elif since_ms is not None:
            media_ms, since_ms = media_ms + step.at_ms - since_ms, None
    return stretches or [(0, session.started_at_ms or session.created_at_ms)]


def wall_ms(stretches: Sequence[tuple[int, int]], media_ms: int) -> int:
    """When a moment of media time was recorded."""
    began = [stretch for stretch in stretches if stretch[0] <= media_ms] or stretches[:1]
    return began[-1][1] + media_ms - began[-1][0]


def _iso(at_ms: int) -> str:
    at = datetime.fromtimestamp(at_ms // 1000, tz=UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"
