"""What the rooms above are handed: the database, the bytes, the bus; time and ids as functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from longtake.events import Bus
from longtake.storage.blobs import LocalBlobs
from longtake.storage.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """One data folder, opened. `now_ms` is the time since the Unix epoch; `new_id` gives a fresh UUID v4."""

    db: Database
    blobs: LocalBlobs
    bus: Bus
    now_ms: Callable[[], int]
    new_id: Callable[[], str]
