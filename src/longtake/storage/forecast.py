"""How long can still be recorded: from the room on the disk and what an hour takes.

What an hour of a track takes is what it took so far; else what tracks of its kind took lately; else what they take when
they are not compressed. Sound that is made of it, to be played, comes on top.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, literal_column, select

from longtake.model.errors import StorageFull
from longtake.model.lifecycle import RECORDING, TrackState
from longtake.model.session import AUDIO_KINDS, TrackKind
from longtake.storage.tables import sessions, tracks

NS_PER_HOUR = 3_600 * 10**9
KNOWN_AFTER_NS = 30 * 10**9
"""A track's own rate is believed from this length on."""
LATEST = 50
"""So many of the latest tracks of a kind say what its kind takes."""
DERIVED_PER_HOUR = 32_000_000
"""What is made of an hour of a track to be played, and again of the mix: AAC at 64 kbit/s, with its records."""
MB = 1_000_000
UNKNOWN_PER_HOUR: Mapping[TrackKind, int] = {
    TrackKind.MICROPHONE: 346 * MB,  # 48 kHz, 16 bits, one channel
    TrackKind.SYSTEM: 691 * MB,
    TrackKind.CAMERA: 1_800 * MB,  # 4 Mbit/s
    TrackKind.SCREEN: 1_800 * MB,
    TrackKind.WINDOW: 1_800 * MB,
    TrackKind.SCREENSHOTS: 150 * MB,
    TrackKind.UPLOAD: 346 * MB,
    TrackKind.MIX: 346 * MB,
}


USUAL_MINUTES = 60
"""How long a recording is expected to be when nobody says."""
SEGMENT_MS = 10_000
"""How long a segment is expected to be when only their number is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """How much room there is, apart from what is kept free, and what an hour of recording takes of it."""

    room_bytes: int
    bytes_per_hour: int

    @property
    def hours_left(self) -> float:
        return max(0, self.room_bytes) / self.bytes_per_hour

    @property
    def minutes_left(self) -> float:
        return 60 * self.hours_left

    def check(self, minutes: float) -> None:
        """Return if so much of it fits; raises StorageFull."""
        if self.minutes_left < minutes:
            raise StorageFull(
                f"{max(0, self.room_bytes)} bytes are free, which is {self.minutes_left:.0f} minutes of this recording;"
                f" at least {minutes:g} must fit",
                free_bytes=max(0, self.room_bytes),
                bytes_per_hour=self.bytes_per_hour,
                minutes_left=round(self.minutes_left, 1),
                min_minutes=minutes,
            )


def of_session(c: Connection, session_id: str, room_bytes: int) -> Forecast:
    """For the tracks of a session that are not stopped; one microphone where none is declared yet."""
    ended = (TrackState.STOPPED, TrackState.STOPPING)
    query = select(tracks.c.kind, tracks.c.size_bytes, tracks.c.length_ns)
    rows = c.execute(query.where(tracks.c.session_id == session_id, tracks.c.state.not_in(ended))).all()
    found = [(TrackKind(row.kind), int(row.size_bytes), int(row.length_ns)) for row in rows]
    return Forecast(room_bytes=room_bytes, bytes_per_hour=_rate(c, found or [(TrackKind.MICROPHONE, 0, 0)]))


def expected_minutes(c: Connection, session_id: str) -> float:
    """How long a session is going to be, as its recorders announced; else an hour."""
    longest = func.max(func.coalesce(tracks.c.expected_ms, SEGMENT_MS * tracks.c.expected_segments))
    announced = c.execute(select(longest).where(tracks.c.session_id == session_id)).scalar()
    of_session = select(SEGMENT_MS * sessions.c.expected_segments).where(sessions.c.id == session_id)
    announced = announced or c.execute(of_session).scalar()
    return USUAL_MINUTES if not announced else int(announced) / 60_000


def of_everything(c: Connection, room_bytes: int) -> Forecast:
    """For all that is being recorded now; for one microphone while nothing is."""
    query = (
        select(tracks.c.kind, tracks.c.size_bytes, tracks.c.length_ns)
        .join(sessions, sessions.c.id == tracks.c.session_id)
        .where(sessions.c.state.in_(RECORDING), sessions.c.trashed_at_ms.is_(None))
    )
    found = [(TrackKind(row.kind), int(row.size_bytes), int(row.length_ns)) for row in c.execute(query)]
    return Forecast(room_bytes=room_bytes, bytes_per_hour=_rate(c, found or [(TrackKind.MICROPHONE, 0, 0)]))


def _rate(c: Connection, found: Iterable[tuple[TrackKind, int, int]]) -> int:
    """Bytes in an hour of these tracks (kind, bytes so far, length so far) together."""
    usual: dict[TrackKind, int] = {}
    total = has_sound = 0
    for kind, size_bytes, length_ns in found:
        if length_ns >= KNOWN_AFTER_NS:
            total += size_bytes * NS_PER_HOUR // length_ns
        else:
            if kind not in usual:
                usual[kind] = _usual(c, kind)
            total += usual[kind]
        if kind in AUDIO_KINDS:
            total += DERIVED_PER_HOUR
            has_sound = DERIVED_PER_HOUR
    return max(1, total + has_sound)


def _usual(c: Connection, kind: TrackKind) -> int:
    """What an hour of a kind took lately."""
    by_age = literal_column("tracks.rowid") if c.dialect.name == "sqlite" else tracks.c.started_at_ms
    query = select(tracks.c.size_bytes, tracks.c.length_ns).where(tracks.c.kind == kind, tracks.c.length_ns > 0)
    query = query.where(tracks.c.size_bytes > 0)  # of deleted recordings only the length is left
    latest = query.order_by(by_age.desc()).limit(LATEST).subquery()
    size, length_ns = c.execute(select(func.sum(latest.c.size_bytes), func.sum(latest.c.length_ns))).one()
    if not length_ns or length_ns < KNOWN_AFTER_NS:
        return UNKNOWN_PER_HOUR[kind]
    return int(size) * NS_PER_HOUR // int(length_ns)
