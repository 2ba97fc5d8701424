"""One lock for each session: held within every stage that changes something, so that no two jobs work on one session.

A job that is cancelled frees its place at once, and a new one may begin while a stage of the old has not noticed yet.
The locks are this process's own: the data folder has one process, and a killed one holds nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOOK_S = 0.1
"""How long somebody waits before they look whether they still want the lock."""


class SessionLocks:
    """Who works on which session."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holders: dict[str, str] = {}

    @contextmanager
    def hold(self, session_id: str, holder: str, check: Callable[[], None]) -> Iterator[None]:
        """Have a session to oneself; `check` raises when waiting for it has become pointless."""
        self._take(session_id, holder, check)
        try:
            yield
        finally:
            with self._changed:
                del self._holders[session_id]
                self._changed.notify_all()

    def holder(self, session_id: str) -> str | None:
        """Who has a session, if anybody."""
        with self._changed:
            return self._holders.get(session_id)

    def _take(self, session_id: str, holder: str, check: Callable[[], None]) -> None:
        while True:
            check()
            with self._changed:
                if session_id in self._holders:
                    self._changed.wait(LOOK_S)
                if session_id not in self._holders:
                    self._holders[session_id] = holder
                    return
