"""What happened, told to whoever in this process wants to know. Published only after it is committed.

The names are those of the outside (`session_status`, `segment_status`, `new_transcript`, `job-progress`, …).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a session."""

    name: str
    session_id: str
    payload: Mapping[str, object] = field(default_factory=dict)


Listener = Callable[[Event], None]


class Bus:
    """Hands every event to every listener, in the publisher's thread; a listener must be quick and must not raise."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: tuple[Listener, ...] = ()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Add a listener; returns what removes it."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def unsubscribe() -> None:
            with self._lock:
                self._listeners = tuple(other for other in self._listeners if other is not listener)

        return unsubscribe

    def publish(self, name: str, session_id: str, **payload: object) -> None:
        """Tell everybody."""
        event = Event(name=name, session_id=session_id, payload=payload)
        for listener in self._listeners:
            listener(event)
