"""The steps of a session's life, on the wire."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from longtake.model.lifecycle import SessionState
from longtake.model.session import Transition
from longtake.wire.base import ACTOR, Answer, Time, moment


class TransitionAnswer(Answer):
    """One step of a session's life."""

    at: Time
    from_state: SessionState | None
    to_state: SessionState
    event: str
    actor: str = Field(description=ACTOR)
    cause: str | None

    @classmethod
    def of(cls, step: Transition) -> Self:
        """From the model."""
        return cls(
            at=moment(step.at_ms),
            from_state=step.from_state,
            to_state=step.to_state,
            event=step.event,
            actor=step.actor,
            cause=step.cause,
        )
