"""The three state tables: session, track, job. Every transition of longtake stands in this file; unlisted is refused.

The diagrams in `design/lifecycle.md` and the `CHECK`s of the database are tested against these tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TypeVar

from longtake.model.errors import IllegalTransition


class SessionState(StrEnum):
    """Where a session is in its life."""

    IDLE = "idle"
    WAITING = "waiting"
    VALIDATING = "validating"
    CHECKING_PERMISSIONS = "checking_permissions"
    STARTING = "starting"
    ACTIVE = "active"
    PAUSING = "pausing"
    PAUSED = "paused"
    RESUMING = "resuming"
    ENDING = "ending"
    COMPLETED = "completed"
    INTERRUPTED = "interrupted"
    ERROR = "error"


class SessionEvent(StrEnum):
    """What moves a session: requests of people and programs, and what happened to it."""

    START_REQUESTED = "start_requested"
    VALIDATED = "validated"
    PERMISSIONS_GRANTED = "permissions_granted"
    STARTED = "started"
    PAUSE_REQUESTED = "pause_requested"
    PAUSED = "paused"
    RESUME_REQUESTED = "resume_requested"
    RESUMED = "resumed"
    END_REQUESTED = "end_requested"
    ENDED = "ended"
    RECORDER_LOST = "recorder_lost"
    FAILED = "failed"
    RESET_REQUESTED = "reset_requested"
    DISMISSED = "dismissed"


class TrackState(StrEnum):
    """Where a track is in its life."""

    IDLE = "idle"
    INITIALIZING = "initializing"
    ACTIVE = "active"
    PAUSED = "paused"
    STOPPING = "stopping"
    STOPPED = "stopped"
    ERROR = "error"


class TrackEvent(StrEnum):
    """What moves a track."""

    INITIALIZED = "initialized"
    STARTED = "started"
    PAUSED = "paused"
    RESUMED = "resumed"
    STOP_REQUESTED = "stop_requested"
    STOPPED = "stopped"
    FAILED = "failed"
    RESET_REQUESTED = "reset_requested"


class JobState(StrEnum):
    """Where a job is in its life."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobEvent(StrEnum):
    """What moves a job."""

    CLAIMED = "claimed"
    RETRY_SCHEDULED = "retry_scheduled"
    DONE = "done"
    FAILED = "failed"
    CANCEL_REQUESTED = "cancel_requested"


class Permission(StrEnum):
    """What a recorder may do with a source; `prompt`: somebody is being asked."""

    GRANTED = "granted"
    DENIED = "denied"
    PROMPT = "prompt"


class TrackHealth(StrEnum):
    """How well a track records."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    FAILED = "failed"


_S, _E = SessionState, SessionEvent
_ALWAYS = {_E.END_REQUESTED: _S.ENDING, _E.FAILED: _S.ERROR}
"""What was recorded can always be ended and kept, and any step can fail."""

SESSION: Mapping[SessionState, Mapping[SessionEvent, SessionState]] = {
    _S.IDLE: {_E.START_REQUESTED: _S.VALIDATING, **_ALWAYS},
    _S.WAITING: {_E.START_REQUESTED: _S.VALIDATING, **_ALWAYS},
    _S.VALIDATING: {_E.VALIDATED: _S.CHECKING_PERMISSIONS, **_ALWAYS},
    _S.CHECKING_PERMISSIONS: {_E.PERMISSIONS_GRANTED: _S.STARTING, **_ALWAYS},
    _S.STARTING: {_E.STARTED: _S.ACTIVE, _E.RECORDER_LOST: _S.INTERRUPTED, **_ALWAYS},
    _S.ACTIVE: {_E.PAUSE_REQUESTED: _S.PAUSING, _E.RECORDER_LOST: _S.INTERRUPTED, **_ALWAYS},
    _S.PAUSING: {_E.PAUSED: _S.PAUSED, _E.RECORDER_LOST: _S.INTERRUPTED, **_ALWAYS},
    _S.PAUSED: {_E.RESUME_REQUESTED: _S.RESUMING, _E.RECORDER_LOST: _S.INTERRUPTED, **_ALWAYS},
    _S.RESUMING: {_E.RESUMED: _S.ACTIVE, _E.RECORDER_LOST: _S.INTERRUPTED, **_ALWAYS},
    _S.ENDING: {_E.ENDED: _S.COMPLETED, _E.FAILED: _S.ERROR},
    _S.INTERRUPTED: {_E.RESUME_REQUESTED: _S.RESUMING, **_ALWAYS},
    _S.ERROR: {_E.RESET_REQUESTED: _S.IDLE, _E.DISMISSED: _S.IDLE, _E.END_REQUESTED: _S.ENDING},
    _S.COMPLETED: {},
}

_T, _TE = TrackState, TrackEvent
_TRACK_ALWAYS = {_TE.STOP_REQUESTED: _T.STOPPING, _TE.FAILED: _T.ERROR}

TRACK: Mapping[TrackState, Mapping[TrackEvent, TrackState]] = {
    _T.IDLE: {_TE.INITIALIZED: _T.INITIALIZING, **_TRACK_ALWAYS},
    _T.INITIALIZING: {_TE.STARTED: _T.ACTIVE, **_TRACK_ALWAYS},
    _T.ACTIVE: {_TE.PAUSED: _T.PAUSED, **_TRACK_ALWAYS},
    _T.PAUSED: {_TE.RESUMED: _T.ACTIVE, **_TRACK_ALWAYS},
    _T.STOPPING: {_TE.STOPPED: _T.STOPPED, _TE.FAILED: _T.ERROR},
    _T.STOPPED: {_TE.RESET_REQUESTED: _T.IDLE},
    _T.ERROR: {_TE.RESET_REQUESTED: _T.IDLE, _TE.STOP_REQUESTED: _T.STOPPING},
}

_J, _JE = JobState, JobEvent

JOB: Mapping[JobState, Mapping[JobEvent, JobState]] = {
    _J.PENDING: {_JE.CLAIMED: _J.PROCESSING, _JE.CANCEL_REQUESTED: _J.CANCELLED, _JE.FAILED: _J.FAILED},
    _J.PROCESSING: {
        _JE.RETRY_SCHEDULED: _J.PENDING,
        _JE.DONE: _J.COMPLETED,
        _JE.FAILED: _J.FAILED,
        _JE.CANCEL_REQUESTED: _J.CANCELLED,
    },
    _J.COMPLETED: {},
    _J.FAILED: {},
    _J.CANCELLED: {},
}

RECORDING = frozenset({_S.ACTIVE, _S.PAUSING, _S.PAUSED, _S.RESUMING, _S.STARTING})
"""States in which a recorder is at work: its device is busy."""

CHECK_WALK = (_E.START_REQUESTED, _E.VALIDATED)
GRANTED_WALK = (_E.PERMISSIONS_GRANTED, _E.STARTED)
START_WALK = (*CHECK_WALK, *GRANTED_WALK)
PAUSE_WALK = (_E.PAUSE_REQUESTED, _E.PAUSED)
RESUME_WALK = (_E.RESUME_REQUESTED, _E.RESUMED)
END_WALK = (_E.END_REQUESTED, _E.ENDED)
"""What a request walks through where nothing has to be waited for; every step is recorded."""

REQUESTS: Mapping[StrEnum, str] = {
    _E.START_REQUESTED: "start",
    _E.PAUSE_REQUESTED: "pause",
    _E.RESUME_REQUESTED: "resume",
    _E.END_REQUESTED: "end",
    _E.RESET_REQUESTED: "reset",
    _E.DISMISSED: "dismiss",
    _TE.STOP_REQUESTED: "stop",
    _JE.CANCEL_REQUESTED: "cancel",
}
"""The events that somebody can ask for, by the word that asks (that of the route). The others happen."""

State = TypeVar("State", bound=StrEnum)
Event = TypeVar("Event", bound=StrEnum)


def follow(table: Mapping[State, Mapping[Event, State]], state: State, event: Event) -> State:
    """The state after an event.

    Raises:
        IllegalTransition: The table has no such transition.
    """
    after = table[state].get(event)
    if after is None:
        allowed = [REQUESTS[one] for one in table[state] if one in REQUESTS]
        raise IllegalTransition(state=state.value, event=REQUESTS.get(event, event.value), allowed=allowed)
    return after


def walk(table: Mapping[State, Mapping[Event, State]], state: State, events: Sequence[Event]) -> list[State]:
    """The states after each of several events; all or nothing.

    Raises:
        IllegalTransition: One of the steps is not in the table.
    """
    states = []
    for event in events:
        state = follow(table, state, event)
        states.append(state)
    return states


def diagram(table: Mapping[State, Mapping[Event, State]], first: Sequence[State]) -> str:
    """The table as a mermaid state diagram, in the table's order; `first` are the states a thing is made in."""
    lines = ["stateDiagram-v2"]
    lines += [f"    [*] --> {state.value}" for state in first]
    for state, events in table.items():
        lines += [f"    {state.value} --> {after.value}: {event.value}" for event, after in events.items()]
        if not events:
            lines.append(f"    {state.value} --> [*]")
    return "\n".join(lines)
