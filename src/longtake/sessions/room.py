"""Whether a recording still fits: asked before one is begun, for the figures, by the doctor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from longtake.storage import forecast
from longtake.storage.forecast import Forecast
from longtake.storage.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """How long a session can be recorded; `warning` when that is less than is expected of it."""

    forecast: Forecast
    warning: str | None


class Room:
    """The room on the disk, apart from what is kept free. Thread-safe."""

    def __init__(self, store: Store, free_bytes: Callable[[], int], *, reserve_bytes: int, min_minutes: float) -> None:
        self._store = store
        self._free_bytes = free_bytes
        self._reserve_bytes = reserve_bytes
        self._min_minutes = min_minutes

    def check(self, session_id: str) -> Prospect:
        """What is left for a session that is to be begun.

        Raises:
            StorageFull: Not even the least does fit.
        """
        room_bytes = self._free_bytes() - self._reserve_bytes
        with self._store.db.read() as c:
            found = forecast.of_session(c, session_id, room_bytes)
            expected = forecast.expected_minutes(c, session_id)
        found.check(self._min_minutes)
        is_enough = found.minutes_left >= expected
        warning = f"the disk has room for {found.minutes_left:.0f} of {expected:.0f} minutes"
        return Prospect(forecast=found, warning=None if is_enough else warning)

    def now(self) -> Forecast:
        """What is left for all that is being recorded."""
        with self._store.db.read() as c:
            return forecast.of_everything(c, self._free_bytes() - self._reserve_bytes)
