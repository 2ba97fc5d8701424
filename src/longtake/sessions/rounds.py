"""One thread that looks after things: at recorders all the time, at everything that lies idle once in a while."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

FIRST_MS = 300_000
"""How long after a start the first clean-up waits: who still records has been heard by then."""

log = structlog.get_logger()


class Rounds:
    """The thread. What fails is logged and tried again at its next turn."""

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
        self._look = look
        self._clean_up = clean_up
        self._now_ms = now_ms
        self._tick_s = tick_s
        self._every_ms = cleanup_every_ms
        self._due_ms = now_ms() + min(FIRST_MS, cleanup_every_ms)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rounds", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End, after what is being done just now."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._tick_s):
            self._do("watch", self._look)
            now_ms = self._now_ms()
            if now_ms >= self._due_ms or self._due_ms > now_ms + self._every_ms + FIRST_MS:  # or the clock was set back
                self._due_ms = now_ms + self._every_ms
                self._do("cleanup", self._clean_up)

    def _do(self, name: str, what: Callable[[], object]) -> None:
        try:
            what()
        except Exception as error:  # noqa: BLE001 - a disk that is full now may have room at the next turn
            log.error("round_failed", round=name, error=repr(error))
