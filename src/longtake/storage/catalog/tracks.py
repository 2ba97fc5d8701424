"""Tracks: rows ⇄ model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, fields

from sqlalchemy import Connection, Row, func, insert, select, update

from longtake.model.errors import NotFound
from longtake.model.lifecycle import Permission, TrackHealth, TrackState
from longtake.model.session import Counts, Covered, Track, TrackKind
from longtake.storage.journal import is_noted, note
from longtake.storage.tables import sessions, tracks

COVERED = tuple(field.name for field in fields(Covered))


def insert_track(c: Connection, track: Track) -> None:
    """Store a new track."""
    c.execute(
        insert(tracks).values(
            id=track.id,
            session_id=track.session_id,
            number=track.number,
            kind=track.kind,
            participant_id=track.participant_id,
            device_id=track.device_id,
            name=track.name,
            state=track.state,
            health=track.health,
            metrics=dict(track.metrics),
            heard_at_ms=track.heard_at_ms,
            started_at_ms=track.started_at_ms,
            expected_segments=track.expected_segments,
            expected_ms=track.expected_ms,
            covered=None if track.covered is None else list(astuple(track.covered)),
        )
    )
    note(c, "track", track.session_id, track.id)


def next_number(c: Connection, session_id: str) -> int:
    """The number that the next track of a session gets."""
    return c.execute(select(func.count()).select_from(tracks).where(tracks.c.session_id == session_id)).scalar_one()


def update_track(c: Connection, track_id: str, **columns: object) -> None:
    """Set columns of a track."""
    c.execute(update(tracks).where(tracks.c.id == track_id).values(**columns))
    if is_noted("track", columns):
        session_id = c.execute(select(tracks.c.session_id).where(tracks.c.id == track_id)).scalar()
        if session_id is not None:
            note(c, "track", session_id, track_id)


def set_covered(c: Connection, track_id: str, covered: Covered | None) -> None:
    """Note how far a track's decoded segments cover it; None: that has to be counted anew."""
    update_track(c, track_id, covered=None if covered is None else list(astuple(covered)))


def note_change(c: Connection, track_id: str, length_ns: int, channels: int, changed_sample: int) -> None:
    """A track's timeline has changed from a 16 kHz sample on: its transcript, too, if it was made that far."""
    track = get_track(c, track_id)
    columns: dict[str, object] = {"length_ns": length_ns, "channels": channels, "speech_settled": False}
    if track.speech_known and changed_sample <= track.speech_known:
        stale = changed_sample if track.speech_stale_from is None else min(changed_sample, track.speech_stale_from)
        columns["speech_stale_from"] = stale
    update_track(c, track_id, **columns)


def hear_anew(c: Connection, track_id: str, engine: str | None, language: str | None) -> None:
    """Have a track transcribed from its beginning by an engine that is told this language, if any; no engine takes what
    is best then."""
    update_track(c, track_id, speech_engine=engine, speech_language=language, speech_stale_from=0, speech_settled=False)


def unsettled_tracks(c: Connection, lane: str) -> list[tuple[str, str]]:
    """Ids of the tracks, and of their sessions, whose lane ("media" or "speech") may have something to do; those of
    ended sessions first. The trash waits until it is restored."""
    query = (
        select(tracks.c.id, tracks.c.session_id)
        .join(sessions, sessions.c.id == tracks.c.session_id)
        .where(tracks.c[f"{lane}_settled"].is_(False))
        .where(sessions.c.trashed_at_ms.is_(None), sessions.c.purged_at_ms.is_(None))
    )
    return [
        (track_id, session_id)
        for track_id, session_id in c.execute(query.order_by(tracks.c.is_ended.desc(), tracks.c.session_id))
    ]


def find_track(c: Connection, track_id: str) -> Track | None:
    """A track, or None."""
    query = select(tracks).join(sessions, sessions.c.id == tracks.c.session_id)
    row = c.execute(query.where(tracks.c.id == track_id, sessions.c.purged_at_ms.is_(None))).one_or_none()
    return None if row is None else _track(row)


def get_track(c: Connection, track_id: str, session_id: str | None = None) -> Track:
    """A track (of that session); raises NotFound."""
    track = find_track(c, track_id)
    if track is None or session_id not in (None, track.session_id):
        raise NotFound("track", track_id)
    return track


def tracks_of(c: Connection, session_ids: Sequence[str]) -> dict[str, list[Track]]:
    """The tracks of several sessions, in order of declaration."""
    found: dict[str, list[Track]] = {key: [] for key in session_ids}
    query = select(tracks).where(tracks.c.session_id.in_(session_ids)).order_by(tracks.c.number)
    for row in c.execute(query):
        found[row.session_id].append(_track(row))
    return found


def _track(row: Row[tuple[object, ...]]) -> Track:
    health = TrackHealth(row.health)
    return Track(
        id=row.id,
        session_id=row.session_id,
        kind=TrackKind(row.kind),
        number=row.number,
        state=TrackState(row.state),
        health=TrackHealth.DEGRADED if row.is_silent and health is TrackHealth.HEALTHY else health,
        participant_id=row.participant_id,
        device_id=row.device_id,
        name=row.name,
        metrics=row.metrics,
        error=row.error,
        permissions=None if row.permissions is None else {n: Permission(word) for n, word in row.permissions.items()},
        reported_at_ms=row.reported_at_ms,
        heard_at_ms=row.heard_at_ms,
        is_silent=row.is_silent,
        started_at_ms=row.started_at_ms,
        expected_segments=row.expected_segments,
        expected_ms=row.expected_ms,
        counts=Counts(
            pending=row.n_pending, processing=row.n_processing, completed=row.n_completed, failed=row.n_failed
        ),
        size_bytes=row.size_bytes,
        covered=None if row.covered is None else Covered(**dict(zip(COVERED, row.covered, strict=True))),
        length_ns=row.length_ns,
        channels=row.channels,
        is_ended=row.is_ended,
        media_settled=row.media_settled,
        speech_settled=row.speech_settled,
        speech_engine=row.speech_engine,
        speech_language=row.speech_language,
        speech_cursor=row.speech_cursor,
        speech_known=row.speech_known,
        speech_stale_from=row.speech_stale_from,
    )
