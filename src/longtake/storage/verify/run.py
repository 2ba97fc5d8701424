"""Verification of a data folder, in both directions: what rows say is on the disk, what is on the disk rows know.

Only reads, so that it may run beside the server that owns the folder. Belongs here: the order of the checks. Does not:
who owns the folder (`runtime`), how damage is shown (`cli`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from longtake.model.errors import NotFound
from longtake.storage.catalog import sessions
from longtake.storage.database import Database
from longtake.storage.verify.bytes import Progress, check_bytes
from longtake.storage.verify.ledger import check_counters, check_packs, list_unreferenced
from longtake.storage.verify.result import Verified


def verify(
    data: Path,
    db: Database,
    *,
    now_ms: Callable[[], int],
    session_id: str | None = None,
    progress: Progress = lambda _done, _all: None,
) -> Verified:
    """Check everything, or all that belongs to one session; memory does not grow with what is stored.

    Raises:
        NotFound: There is no such session. StorageFailed: The database itself cannot be read: `rebuild` makes it anew.
    """
    began_ms = now_ms()
    found = Verified()
    if session_id is not None:
        with db.read() as c:
            if sessions.find_session(c, session_id) is None:
                raise NotFound("session", session_id)
    check_bytes(data, db, found, session_id, progress)
    check_counters(db, found, session_id)
    if session_id is None:
        check_packs(data, db, found, began_ms)
        list_unreferenced(data, db, found)
    return found
