"""Who may do what: one function, asked by every route, socket and download.

Until there are accounts, the only caller is the owner on loopback, who may do everything; routes already name the
action and the session, so that accounts come without touching them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from longtake.model.errors import Forbidden

OWNER = "owner"
"""Who asks on loopback."""


class Action(StrEnum):
    """What somebody wants to do."""

    READ = "read"
    WRITE = "write"
    RECORD = "record"
    DELETE = "delete"
    ADMINISTER = "administer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: `is_owner` on loopback while there is no account."""

    name: str
    is_owner: bool = False
    device_id: str | None = None

    @property
    def actor(self) -> str:
        """By what name histories tell of them."""
        return acting(self.device_id, self.name)


def acting(device_id: str | None, otherwise: str) -> str:
    """By what name histories tell of a device; of no known one, by another.

    Words without a colon are longtake's own: `owner`, `recorder`, `watch`, `cleanup`, `rebuild`.
    """
    return otherwise if device_id is None else f"device:{device_id}"


def authorise(caller: Caller, action: Action, session_id: str | None = None) -> None:
    """Return if the caller may do this (to that session).

    Raises:
        Forbidden: They may not.
    """
    if not caller.is_owner:
        what = "this" if session_id is None else f"session {session_id}"
        raise Forbidden(f"{caller.name} may not {action.value} {what}")
