"""Sessions with their participants, tags and history: rows ⇄ model."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import (
    Connection,
    Row,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from longtake.model.errors import AudioDeleted, NotFound, Trashed
from longtake.model.lifecycle import SessionState
from longtake.model.session import Mode, Participant, ProcessingStatus, Session, Transition
from longtake.storage.catalog import jobs, tracks
from longtake.storage.journal import is_noted, note
from longtake.storage.prepared import Prepared
from longtake.storage.tables import history, participants, session_tags, sessions

NOTE_ARRIVAL = Prepared(
    update(sessions)
    .where(sessions.c.id == bindparam("session"))
    .values(mix_settled=False, last_activity_at_ms=bindparam("at_ms"))
)


def insert_session(c: Connection, session: Session) -> None:
    """Store a new session with its participants and tags (not its tracks)."""
    c.execute(
        insert(sessions).values(
            id=session.id,
            title=session.title,
            description=session.description,
            mode=session.mode,
            recording_type=session.recording_type,
            recording_config=dict(session.recording_config),
            state=session.state,
            owner_id=session.owner_id,
            device_id=session.device_id,
            created_at_ms=session.created_at_ms,
            last_activity_at_ms=session.last_activity_at_ms,
            topics=list(session.topics),
            phases=list(session.phases),
            phase=session.phase,
            agent=None if session.agent is None else dict(session.agent),
            on_leave=session.on_leave,
            expected_segments=session.expected_segments,
            balance=[list(step) for step in session.balance],
            mix_settled=session.mix_settled,
        )
    )
    note(c, "session", session.id, session.id)
    for participant in session.participants:
        insert_participant(c, session.id, participant)
    set_tags(c, session.id, session.tags)


def insert_participant(c: Connection, session_id: str, participant: Participant) -> None:
    """Add a participant to a session."""
    c.execute(
        insert(participants).values(
            id=participant.id,
            session_id=session_id,
            role=participant.role,
            name=participant.name,
            device_id=participant.device_id,
        )
    )
    note(c, "participant", session_id, participant.id)


def set_tags(c: Connection, session_id: str, tags: Sequence[str]) -> None:
    """Replace a session's tags; order is kept, doubles are dropped."""
    for old in c.execute(select(session_tags.c.tag).where(session_tags.c.session_id == session_id)).scalars():
        note(c, "tag", session_id, old, session_id)
    c.execute(delete(session_tags).where(session_tags.c.session_id == session_id))
    rows = [{"session_id": session_id, "tag": tag, "position": i} for i, tag in enumerate(dict.fromkeys(tags))]
    if rows:
        c.execute(insert(session_tags), rows)
    for tag in tags:
        note(c, "tag", session_id, tag, session_id)


def update_session(c: Connection, session_id: str, **columns: object) -> None:
    """Set columns of a session."""
    c.execute(update(sessions).where(sessions.c.id == session_id).values(**columns))
    if is_noted("session", columns):
        note(c, "session", session_id, session_id)


def note_arrivals(c: Connection, session_ids: Sequence[str], at_ms: int) -> None:
    """Something was stored in these sessions: they are alive, and their mixes have work."""
    NOTE_ARRIVAL.run(c, [{"session": session_id, "at_ms": at_ms} for session_id in session_ids])


def find_session(c: Connection, session_id: str) -> Session | None:
    """A session with its participants, tags, tracks and latest job, or None."""
    where = (sessions.c.id == session_id, sessions.c.purged_at_ms.is_(None))
    row = c.execute(select(sessions).where(*where)).one_or_none()
    return None if row is None else _hydrate(c, [row])[0]


def get_session(c: Connection, session_id: str) -> Session:
    """Like `find_session`; raises NotFound."""
    session = find_session(c, session_id)
    if session is None:
        raise NotFound("session", session_id)
    return session


def open_session(c: Connection, session_id: str) -> Session:
    """Like `get_session`; raises Trashed when it lies in the trash."""
    session = get_session(c, session_id)
    if session.trashed_at_ms is not None:
        raise Trashed(session_id)
    return session


def ids_with_processing(c: Connection, status: ProcessingStatus) -> list[str]:
    """All sessions with a processing status, newest first, the trash apart."""
    query = select(sessions.c.id).where(sessions.c.processing == status, sessions.c.trashed_at_ms.is_(None))
    return list(c.execute(query.order_by(sessions.c.created_at_ms.desc(), sessions.c.id.desc())).scalars())


def add_cost(c: Connection, session_id: str, usd_micros: int) -> None:
    """An engine asked for something: it is the session's cost."""
    where = sessions.c.id == session_id
    c.execute(update(sessions).where(where).values(cost_usd_micros=sessions.c.cost_usd_micros + usd_micros))


def check_there(c: Connection, session_id: str) -> int | None:
    """Since when it has no recordings any more, None while it may have some; raises NotFound."""
    query = select(sessions.c.audio_deleted_at_ms).where(sessions.c.id == session_id, sessions.c.purged_at_ms.is_(None))
    row = c.execute(query).one_or_none()
    if row is None:
        raise NotFound("session", session_id)
    return None if row.audio_deleted_at_ms is None else int(row.audio_deleted_at_ms)


def check_recorded(c: Connection, session_id: str) -> None:
    """Refuse what belongs to recordings where there are none any more.

    Raises:
        NotFound: There is no such session. AudioDeleted: Its recordings have been deleted.
    """
    deleted_at_ms = check_there(c, session_id)
    if deleted_at_ms is not None:
        raise AudioDeleted(session_id, deleted_at_ms)


def rename_participant(c: Connection, participant_id: str, name: str) -> None:
    """Give a participant another name."""
    where = participants.c.id == participant_id
    c.execute(update(participants).where(where).values(name=name))
    for session_id in c.execute(select(participants.c.session_id).where(where)).scalars():
        note(c, "participant", session_id, participant_id)


def session_state(c: Connection, session_id: str) -> SessionState:
    """Only the state; raises NotFound."""
    where = (sessions.c.id == session_id, sessions.c.purged_at_ms.is_(None))
    state = c.execute(select(sessions.c.state).where(*where)).scalar()
    if state is None:
        raise NotFound("session", session_id)
    return SessionState(state)


def open_state(c: Connection, session_id: str) -> SessionState:
    """Only the state; raises NotFound, and Trashed when it lies in the trash."""
    where = (sessions.c.id == session_id, sessions.c.purged_at_ms.is_(None))
    row = c.execute(select(sessions.c.state, sessions.c.trashed_at_ms).where(*where)).one_or_none()
    if row is None:
        raise NotFound("session", session_id)
    if row.trashed_at_ms is not None:
        raise Trashed(session_id)
    return SessionState(row.state)


def get_sessions(c: Connection, ids: Sequence[str]) -> list[Session]:
    """Those of some sessions that exist, in the order in which they are named."""
    found = {row.id: row for row in c.execute(select(sessions).where(sessions.c.id.in_(ids)))}
    return _hydrate(c, [found[key] for key in ids if key in found])


def unsettled_mixes(c: Connection) -> list[str]:
    """Sessions whose mix may have something to do; ended ones first."""
    query = select(sessions.c.id).where(sessions.c.mix_settled.is_(False), sessions.c.trashed_at_ms.is_(None))
    return list(
        c.execute(query.order_by(sessions.c.state != SessionState.COMPLETED, sessions.c.created_at_ms)).scalars()
    )


def sessions_of_type(c: Connection, recording_type: str, states: Sequence[SessionState]) -> list[Session]:
    """The sessions of a type that are in some states, the trash apart."""
    where = and_(
        sessions.c.state.in_(states), sessions.c.recording_type == recording_type, sessions.c.trashed_at_ms.is_(None)
    )
    return _hydrate(c, c.execute(select(sessions).where(where)).all())


def delete_session(c: Connection, session_id: str) -> None:
    """Remove a session with all that goes with it; what segments and blocks refer to is not released."""
    c.execute(delete(sessions).where(sessions.c.id == session_id))
    note(c, "session", session_id, session_id)


def record(c: Connection, session_id: str, steps: Sequence[Transition]) -> None:
    """Append to a session's history."""
    query = select(func.coalesce(func.max(history.c.number), -1)).where(history.c.session_id == session_id)
    number = c.execute(query).scalar_one()
    rows = [
        {
            "session_id": session_id,
            "number": number + 1 + i,
            "at_ms": step.at_ms,
            "from_state": step.from_state,
            "to_state": step.to_state,
            "event": step.event,
            "actor": step.actor,
            "cause": step.cause,
        }
        for i, step in enumerate(steps)
    ]
    c.execute(insert(history), rows)
    for row in rows:
        note(c, "step", session_id, session_id, row["number"])


def list_history(c: Connection, session_id: str) -> list[Transition]:
    """Every recorded step of a session's life, oldest first."""
    query = select(history).where(history.c.session_id == session_id).order_by(history.c.number)
    return [
        Transition(
            at_ms=row.at_ms,
            from_state=None if row.from_state is None else SessionState(row.from_state),
            to_state=SessionState(row.to_state),
            event=row.event,
            actor=row.actor,
            cause=row.cause,
        )
        for row in c.execute(query)
    ]


def _hydrate(c: Connection, rows: Sequence[Row[tuple[object, ...]]]) -> list[Session]:
    """Rows to sessions, with one query for each kind of part."""
    ids = [row.id for row in rows]
    people: dict[str, list[Participant]] = {key: [] for key in ids}
    query = select(participants).where(participants.c.session_id.in_(ids)).order_by(participants.c.role)
    for row in c.execute(query):
        people[row.session_id].append(Participant(id=row.id, role=row.role, name=row.name, device_id=row.device_id))
    tags: dict[str, list[str]] = {key: [] for key in ids}
    for row in c.execute(
        select(session_tags).where(session_tags.c.session_id.in_(ids)).order_by(session_tags.c.position)
    ):
        tags[row.session_id].append(row.tag)
    tracks_of = tracks.tracks_of(c, ids)
    latest = jobs.latest_jobs(c, ids)
    return [
        Session(
            id=row.id,
            title=row.title,
            description=row.description,
            mode=Mode(row.mode),
            recording_type=row.recording_type,
            recording_config=row.recording_config,
            state=SessionState(row.state),
            owner_id=row.owner_id,
            device_id=row.device_id,
            created_at_ms=row.created_at_ms,
            started_at_ms=row.started_at_ms,
            paused_at_ms=row.paused_at_ms,
            resumed_at_ms=row.resumed_at_ms,
            ended_at_ms=row.ended_at_ms,
            completed_at_ms=row.completed_at_ms,
            recorded_ms=row.recorded_ms,
            active_since_ms=row.active_since_ms,
            last_activity_at_ms=row.last_activity_at_ms,
            trashed_at_ms=row.trashed_at_ms,
            audio_deleted_at_ms=row.audio_deleted_at_ms,
            tags=tuple(tags[row.id]),
            topics=tuple(row.topics),
            phases=tuple(row.phases),
            phase=row.phase,
            agent=row.agent,
            on_leave=row.on_leave,
            expected_segments=row.expected_segments,
            balance=tuple((int(at), float(value)) for at, value in row.balance),
            mix_settled=row.mix_settled,
            cost_usd_micros=row.cost_usd_micros,
            participants=tuple(people[row.id]),
            tracks=tuple(tracks_of[row.id]),
            job=latest.get(row.id),
        )
        for row in rows
    ]
