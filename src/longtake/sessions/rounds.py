"""Two threads that look after things: one at recorders all the time, one at what lies idle once in a while.

Apart, because a clean-up may take minutes, and recorders are missed within seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

TICK_S = 5.0
"""How often, at the least, somebody looks whether recorders are still there."""
FIRST_MS = 300_000
"""How long after a start the first clean-up waits: who still records has been heard by then."""

log = structlog.get_logger()


class Rounds:
    """The threads. What fails is logged and tried again at its next turn."""

    def __init__(
        self,
        look: Callable[[], object],
        clean_up: Callable[[], object],
        *,
        now_ms: Callable[[], int],
        tick_s: float,
        cleanup_every_ms: int,
    ) -> None:
        """`look` is called every `tick_s` of real time, `clean_up` every `cleanup_every_ms` by the clock `now_ms`."""
        self._clean_up = clean_up
        self._now_ms = now_ms
        self._tick_s = tick_s
        self._every_ms = cleanup_every_ms
        self._due_ms = now_ms() + min(FIRST_MS, cleanup_every_ms)
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(name, turn), name=name, daemon=True)
            for name, turn in (("watch", look), ("cleanup", self._clean_up_if_due))
        ]

    @property
    def is_alive(self) -> bool:
        """Whether both threads run."""
        return all(thread.is_alive() for thread in self._threads)

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End, after what is being done just now."""
        self._stopping.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _repeat(self, name: str, turn: Callable[[], object]) -> None:
        while not self._stopping.wait(self._tick_s):
            try:
                turn()
            except Exception as error:  # noqa: BLE001 - a disk that is full now may have room at the next turn
                log.error("round_failed", round=name, error=error)

    def _clean_up_if_due(self) -> None:
        now_ms = self._now_ms()
        if now_ms >= self._due_ms or self._due_ms > now_ms + self._every_ms + FIRST_MS:  # or the clock was set back
            self._due_ms = now_ms + self._every_ms
            self._clean_up()
