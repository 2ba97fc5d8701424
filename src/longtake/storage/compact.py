"""Packs in which little is alive: what lives is appended to the current pack, then the old one goes.

Alive are bytes that a row of bytes says lie there, records of segments that there are, tombstones, and what the
journal told of sessions that there are (those rows are noted anew, as they are now: an old word must never come after
a newer one). What is alive is decided in the write transaction that appends it. Steps: append, flushed → commit of
where the bytes lie now → when all is done, the old pack is removed. Cut off anywhere, the old pack is still there, and
the next collection begins with it again. Belongs here: packs. Does not: which rows of bytes go (`collect`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog
from sqlalchemy import Connection, select

from longtake.model.errors import NotFound, StorageFailed
from longtake.storage.blobs import IN_PACKS, LocalBlobs, Locator, StoreName
from longtake.storage.catalog import blobs as blob_rows
from longtake.storage.catalog.segments import head_of, segments_of_bytes
from longtake.storage.database import Database
from longtake.storage.journal import KINDS, note
from longtake.storage.packs import BODY, ELSEWHERE, HEADER, SEGMENT, TOMBSTONES, Broken, Found, Record, survey
from longtake.storage.tables import segments, sessions, tracks

LOOK_AT = 500
"""Records that are looked up at a time."""
COPY_BYTES = 1 << 20
"""Bytes that one transaction appends: who stores meanwhile waits for no more."""
FINISH_BYTES = 1 << 20
"""A pack that is smaller is left to grow."""
WORTH = 2
"""A pack is written anew when at most one part in so many is alive."""

log = structlog.get_logger()


class Step(Protocol):
    """A transaction with a rest behind it."""

    def __call__(self) -> AbstractContextManager[Connection]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Living:
    """A record of which something is alive: its head as it is to be written, and where its body lies (None: nowhere).

    `moved` is the digest of a body whose row has to follow; `noted` the row that the journal is to tell again instead,
    in about `noted_bytes`.
    """

    head: dict[str, object]
    body: Locator | None = None
    moved: str | None = None
    noted: tuple[str, str, tuple[object, ...]] | None = None
    noted_bytes: int = 0

    @property
    def size_bytes(self) -> int:
        """About as much room as it takes."""
        body_bytes = self.noted_bytes if self.body is None else self.body.size_bytes
        return HEADER.size + len(str(self.head)) + body_bytes


class _Unreadable(Exception):
    """The disk does not give back what is in a pack: it is left alone, as one with damage is."""


@contextmanager
def _reading() -> Iterator[None]:
    """Tell a disk that does not read from one that does not write: for that all collecting has to wait."""
    try:
        yield
    except (OSError, NotFound, StorageFailed) as error:
        raise _Unreadable(str(error)) from error


class Compactor:
    """Removes packs in which nothing is alive, and writes those anew of which little is."""

    def __init__(
        self,
        db: Database,
        blobs: LocalBlobs,
        step: Step,
        is_stopping: Callable[[], bool],
        deletions: Callable[[], int],
    ) -> None:
        """`deletions` is a number that rises whenever records of segments may have died."""
        self._db = db
        self._blobs = blobs
        self._step = step
        self._is_stopping = is_stopping
        self._deletions = deletions
        self._not_worth: dict[Path, tuple[object, ...]] = {}

    def compact(self, before_ms: int, *, dry_run: bool = False) -> tuple[int, int]:
        """Go through the packs that were finished before a moment; returns how many went, and the room they took."""
        count = freed_bytes = 0
        for store in IN_PACKS:
            if not dry_run:
                self._finish_current(store)
            with self._step():
                sealed = self._blobs.sealed(store)
            with self._db.read() as c:
                held = blob_rows.held_bytes(c, store)
            for pack in sealed:
                if self._is_stopping():
                    break
                bodies, body_bytes = held.get(pack.name, (0, 0))
                state = (bodies, body_bytes, self._deletions())
                if self._not_worth.get(pack) == state:
                    continue
                try:
                    freed = self._compact_one(pack, bodies, body_bytes, before_ms, dry_run=dry_run)
                except _Unreadable as error:
                    log.warning("pack_unreadable", pack=pack.name, error=str(error))
                    freed = None
                if freed is None:
                    self._not_worth[pack] = state
                elif freed:
                    count += 1
                    freed_bytes += freed
        return count, freed_bytes

    def _compact_one(self, pack: Path, bodies: int, body_bytes: int, before_ms: int, *, dry_run: bool) -> int | None:
        """Write a pack anew if that is worth it; returns the room that it gave back, None if it is not worth it."""
        with _reading():
            about = pack.stat()
        if about.st_mtime_ns // 1_000_000 > before_ms:
            return 0
        if WORTH * body_bytes > about.st_size:
            return None
        alive_bytes = self._alive_bytes(pack, bodies)
        if alive_bytes is None or WORTH * alive_bytes > about.st_size:
            return None
        return about.st_size - alive_bytes if dry_run or self._rewrite(pack) else 0

    def _finish_current(self, store: str) -> None:
        """Have a new pack begun when little of the one that is being appended to can be alive."""
        current = self._blobs.current(store)
        if current is not None and (size_bytes := current.stat().st_size) >= FINISH_BYTES:
            with self._db.read() as c:
                _, body_bytes = blob_rows.held_bytes(c, store).get(current.name, (0, 0))
            if WORTH * body_bytes <= size_bytes:
                self._blobs.finish(store)

    def _alive_bytes(self, pack: Path, bodies: int) -> int | None:
        """How much of a pack is alive; None where damage hides what is: such a pack is left alone."""
        alive_bytes = found_bodies = 0
        for batch in batches(pack):
            if any(isinstance(one, Broken) and not one.is_tail for one in batch):
                log.warning("pack_damaged", pack=pack.name)
                return None
            with self._db.read() as c:
                found = living(c, pack, [one for one in batch if isinstance(one, Found)])
            again = {one.noted: one for one in found if one.noted is not None}  # a row is told once for a batch
            alive_bytes += sum(one.size_bytes for one in found if one.noted is None)
            alive_bytes += sum(one.size_bytes for one in again.values())
            found_bodies += sum(one.moved is not None for one in found)
        return alive_bytes if found_bodies >= bodies else None

    def _rewrite(self, pack: Path) -> bool:
        """Append what is alive elsewhere, then remove the pack; False when it had to stay."""
        for batch in batches(pack):
            if self._is_stopping():
                return False
            self._copy(pack, [one for one in batch if isinstance(one, Found)])
        with self._db.read() as c:
            bodies, _ = blob_rows.held_bytes(c, pack.parent.name).get(pack.name, (0, 0))
        if bodies:
            log.error("pack_not_empty", pack=pack.name, bodies=bodies)
            return False
        self._blobs.remove_pack(pack.parent.name, pack.name)
        self._not_worth.pop(pack, None)
        return True

    def _copy(self, pack: Path, batch: Sequence[Found]) -> None:
        with self._db.read() as c:
            at_first = living(c, pack, batch)
        heirs = {one.moved: one.head for one in at_first if one.moved is not None}
        with _reading():
            bodies = {one.body: self._blobs.read(one.body) for one in at_first if one.body is not None}
        if not at_first:
            return
        moves: dict[Locator, Locator] = {}
        with self._step() as c:
            found = living(c, pack, batch, heirs)  # as it is now
            for one in found:
                if one.noted is not None:
                    kind, session_id, key = one.noted
                    note(c, kind, session_id, *key)
            written = [one for one in found if one.noted is None]
            if written:
                records = [Record(head=one.head, body=[bodies[one.body]] if one.body else ()) for one in written]
                places = self._blobs.append(pack.parent.name, records)
                pairs = list(zip(written, places, strict=True))
                blob_rows.relocate_blobs(c, {one.moved: at for one, at in pairs if one.moved is not None})
                moves = {one.body: at for one, at in pairs if one.body is not None}
        self._blobs.note_moves(moves)


def batches(pack: Path) -> Iterator[list[Found | Broken]]:
    """The records of a pack, a few at a time."""
    batch: list[Found | Broken] = []
    size_bytes = 0
    records = survey(pack)
    while True:
        with _reading():
            one = next(records, None)
        if one is None:
            break
        batch.append(one)
        size_bytes += one.size_bytes
        if len(batch) >= LOOK_AT or size_bytes >= COPY_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


def living(
    c: Connection, pack: Path, found: Sequence[Found], heirs: Mapping[str, dict[str, object]] | None = None
) -> list[Living]:
    """What is alive of some records of a pack.

    `heirs` are the heads under which bodies were to be written a moment ago: looking for them again would read the
    whole table of segments, within the write transaction.
    """
    store = pack.parent.name
    at = blob_rows.locate(c, list({str(one.head["sha256"]) for one in found if "sha256" in one.head}))

    def lies_here(one: Found) -> Locator | None:
        """Where its body lies, if it is the one that is read when somebody asks for these bytes."""
        locator = at.get(str(one.head.get("sha256")))
        is_here = locator is not None and (locator.store, locator.key, locator.offset) == (store, pack.name, one.offset)
        return locator if is_here else None

    if store != StoreName.PACKS:
        return [
            Living(head=one.head, body=here, moved=str(one.head["sha256"]))
            for one in found
            if (here := lies_here(one)) is not None
        ]
    segment_ids = _there(c, [one.head for one in found])
    session_ids = _sessions(c, found)
    shared = [one for one in found if one.head.get("id") not in segment_ids and lies_here(one) is not None]
    digests = [str(one.head["sha256"]) for one in shared]
    owners = _owners(c, digests) if heirs is None else _still_there(c, digests, heirs)
    alive = []
    for one in found:
        kind, here = one.head.get("kind"), lies_here(one)
        session_id = one.head.get("session")
        if kind in TOMBSTONES:
            alive.append(Living(head=one.head))
        elif kind in KINDS:
            if session_id in session_ids:
                key = one.head["key"]
                assert isinstance(key, list)
                row = (str(kind), str(session_id), tuple(key))
                alive.append(Living(head=one.head, noted=row, noted_bytes=one.size_bytes))
        elif here is not None:
            sha256 = str(one.head["sha256"])
            head = one.head if one.head.get("id") in segment_ids else owners.get(sha256, _anonymous(sha256, one))
            alive.append(Living(head=head, body=here, moved=sha256))
        elif kind == SEGMENT:
            if one.head["id"] in segment_ids:
                alive.append(Living(head=one.head | {"body": ELSEWHERE}))
        elif kind != BODY and (session_id is None or session_id in session_ids):
            body = Locator(store=store, key=pack.name, offset=one.offset, size_bytes=one.size_bytes)
            alive.append(Living(head=one.head, body=body if one.size_bytes else None))
    return alive


def _there(c: Connection, heads: Iterable[Mapping[str, object]]) -> set[str]:
    """The ids of those segments that there are."""
    ids = [str(head["id"]) for head in heads if head.get("kind") == SEGMENT]
    query = (
        select(segments.c.id)
        .join(tracks, tracks.c.id == segments.c.track_id)
        .join(sessions, sessions.c.id == tracks.c.session_id)
    )
    return set(c.execute(query.where(segments.c.id.in_(ids), sessions.c.purged_at_ms.is_(None))).scalars())


def _sessions(c: Connection, found: Iterable[Found]) -> set[str]:
    """The ids of those sessions that there are."""
    ids = {str(one.head["session"]) for one in found if "session" in one.head}
    where = (sessions.c.id.in_(ids), sessions.c.purged_at_ms.is_(None))
    return set(c.execute(select(sessions.c.id).where(*where)).scalars())


def _owners(c: Connection, digests: Sequence[str]) -> dict[str, dict[str, object]]:
    """By digest, the head of some segment that has these bytes: theirs was first brought by one that is gone."""
    if not digests:
        return {}
    return {one.sha256: head_of(one, session_id) for one, session_id in segments_of_bytes(c, digests)}


def _still_there(
    c: Connection, digests: Sequence[str], heirs: Mapping[str, dict[str, object]]
) -> dict[str, dict[str, object]]:
    """Those of the heads found before whose segments there still are."""
    known = {sha256: heirs[sha256] for sha256 in digests if sha256 in heirs}
    ids = _there(c, known.values())
    return {sha256: head for sha256, head in known.items() if head.get("id") in ids}


def _anonymous(sha256: str, one: Found) -> dict[str, object]:
    """Of bytes that only what was made has, or nobody any more: they have their time of grace."""
    return {"kind": BODY, "sha256": sha256, "size": one.size_bytes}
