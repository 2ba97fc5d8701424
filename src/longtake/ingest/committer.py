"""The one thread that stores segments: one append and flush, one transaction, many receipts.

Batches form by themselves while the last flush runs; nothing lingers. Order: bytes of large bodies were flushed when
they arrived → names of files, flushed → the pack's append and flush → commit → receipts.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import structlog
from sqlalchemy import Connection

from longtake.ingest.body import Arrived
from longtake.ingest.figures import Figures
from longtake.model.errors import AudioDeleted, LongtakeError, NotFound, SegmentConflict, Trashed, Unavailable
from longtake.model.lifecycle import SessionState
from longtake.model.session import LaneStatus, Receipt, Segment, SegmentStatus
from longtake.storage.blobs import Blobs, Locator, StoreName
from longtake.storage.catalog import blobs as blob_rows
from longtake.storage.catalog import segments
from longtake.storage.catalog.reopening import reopen_healed
from longtake.storage.catalog.segments import Address
from longtake.storage.database import Database
from longtake.storage.packs import ELSEWHERE, Record

BATCH = 256
BATCH_BYTES = 32 << 20
ORIGINALS = (StoreName.PACKS, StoreName.FILES)
"""What can be made again may be dropped: an original is stored apart from it."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A segment that is new, and the session it belongs to as it stands in the same transaction.

    One that is not new had failed for want of its bytes, which came again: it is processed anew.
    """

    session_id: str
    state: SessionState
    segment: Segment
    is_new: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiter:
    """A body and who waits for its receipt: a coroutine in `loop`, or a thread (then that is None)."""

    arrived: Arrived
    future: asyncio.Future[Receipt] | Future[Receipt]
    loop: asyncio.AbstractEventLoop | None
    since_s: float = field(default_factory=time.perf_counter)

    @property
    def held_bytes(self) -> int:
        """How much memory it takes."""
        return 0 if self.arrived.staged is not None else self.arrived.size_bytes


Outcome = Receipt | Exception
Pairs = list[tuple[Stored, Arrived]]


class Committer:
    """Takes arrived bodies from any thread and answers each with a receipt or an error."""

    def __init__(
        self,
        db: Database,
        blobs: Blobs,
        *,
        now_ms: Callable[[], int],
        new_id: Callable[[], str],
        in_transaction: Callable[[Connection, Sequence[Stored]], None],
        after_commit: Callable[[Sequence[Stored]], None],
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._now_ms = now_ms
        self._new_id = new_id
        self._in_transaction = in_transaction
        self._after_commit = after_commit
        self.figures = Figures()
        self._queue: queue.SimpleQueue[Waiter | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._queued_bytes = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    @property
    def queued_bytes(self) -> int:
        """How much waits in memory."""
        return self._queued_bytes

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def put(self, waiter: Waiter) -> None:
        """Queue a body; raises Unavailable when it is too late for that."""
        with self._lock:
            if self._closed:
                raise Unavailable("longtake is shutting down")
            self._queued_bytes += waiter.held_bytes
            self._queue.put(waiter)

    def close(self) -> None:
        """Store what is queued, then end."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        last = False
        while not last:
            batch, last = self._next()
            if batch:
                try:
                    self._serve(batch)
                except Exception as error:
                    log.error("storing_failed", segments=len(batch), exc_info=error)
                    _answer(batch, [error] * len(batch))  # whoever has an answer keeps it
                with self._lock:
                    self._queued_bytes -= sum(waiter.held_bytes for waiter in batch)

    def _next(self) -> tuple[list[Waiter], bool]:
        """What is queued, at least one; and whether it was the last."""
        batch: list[Waiter] = []
        size = 0
        waiter = self._queue.get()
        while waiter is not None:
            batch.append(waiter)
            size += waiter.held_bytes
            if len(batch) >= BATCH or size >= BATCH_BYTES:
                return batch, False
            try:
                waiter = self._queue.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _serve(self, batch: Sequence[Waiter]) -> None:
        """Store a batch and answer everybody; an error that is not the disk's is kept to the segment that causes it."""
        stored: list[Stored] = []
        outcomes: Sequence[Outcome]
        try:
            outcomes, stored = self._store([waiter.arrived for waiter in batch])
        except Unavailable as error:
            outcomes = [error] * len(batch)
        except Exception as error:  # noqa: BLE001 (whoever waits for the receipt gets it)
            if len(batch) > 1:
                for waiter in batch:
                    self._serve([waiter])
                return
            outcomes = [error]
        for waiter in batch:
            if waiter.arrived.staged is not None:
                waiter.arrived.staged.discard()  # nothing happens to those that were kept
        _answer(batch, outcomes)
        self._note(batch, outcomes, stored)
        if stored:
            try:
                self._after_commit(stored)
            except Exception as error:
                log.error("stored_not_announced", segments=len(stored), exc_info=error)

    def _note(self, batch: Sequence[Waiter], outcomes: Sequence[Outcome], stored: Sequence[Stored]) -> None:
        """Count what was done."""
        now_s, figures = time.perf_counter(), self.figures
        for waiter in batch:
            figures.took(now_s - waiter.since_s)
        receipts = sum(isinstance(outcome, Receipt) for outcome in outcomes)
        new = [one.segment for one in stored if one.is_new]
        figures.batches += bool(new)
        figures.segments += len(new)
        figures.size_bytes += sum(segment.size_bytes for segment in new)
        figures.repeated += receipts - len(new)

    def _store(self, batch: Sequence[Arrived]) -> tuple[list[Outcome], list[Stored]]:
        """Decide, write and commit, in one transaction."""
        with self._db.write() as c:
            outcomes, new, repeated = self._decide(c, batch)
            known = blob_rows.locate(c, list({one.sha256 for _, one in (*new, *repeated)}))
            whole = self._whole(known, [one for _, one in (*new, *repeated)])
            lost = [(before, one) for before, one in repeated if one.sha256 not in whole]
            if new or lost:
                self._write_bytes(c, new, lost, known, whole)
            stored = [one for one, _ in new]
            if stored:
                segments.insert_segments(c, [one.segment for one in stored])
            if healed := [sha256 for sha256, at in known.items() if sha256 not in whole and at.store in ORIGINALS]:
                log.warning("bytes_healed", sha256=healed)
                again = reopen_healed(c, healed)
                stored += [Stored(session_id=to, state=state, segment=one, is_new=False) for one, to, state in again]
                reopened = {one.id for one, _, _ in again}
                outcomes = [
                    replace(one, status=SegmentStatus.PENDING)
                    if isinstance(one, Receipt) and one.segment_id in reopened
                    else one
                    for one in outcomes
                ]
            if stored:
                self._in_transaction(c, stored)
        return outcomes, stored

    def _decide(self, c: Connection, batch: Sequence[Arrived]) -> tuple[list[Outcome], Pairs, Pairs]:
        """What each is answered, which are new, and which have been stored before."""
        addresses = segments.find_addresses(c, {one.announcement.track_id for one in batch})
        known = segments.find_segments(c, {(one.announcement.track_id, one.announcement.index) for one in batch})
        now_ms = self._now_ms()
        outcomes: list[Outcome] = []
        new: dict[tuple[str, int], tuple[Stored, Arrived]] = {}
        repeated: Pairs = []
        for one in batch:
            announced = one.announcement
            key = (announced.track_id, announced.index)
            try:
                address = check_address(addresses, announced.track_id)
            except LongtakeError as error:
                outcomes.append(error)
                continue
            if key not in known:
                segment = known[key] = self._segment(one, now_ms)
                new[key] = (Stored(session_id=address.session_id, state=address.state, segment=segment), one)
                outcomes.append(_receipt(segment, is_new=True))
            elif known[key].sha256 == one.sha256:
                outcomes.append(_receipt(known[key], is_new=False))
                if key not in new:
                    before = Stored(session_id=address.session_id, state=address.state, segment=known[key])
                    repeated.append((before, one))
            else:
                outcomes.append(SegmentConflict(index=key[1], stored=known[key].sha256, received=one.sha256))
        return outcomes, list(new.values()), repeated

    def _whole(self, known: dict[str, Locator], arrived: Sequence[Arrived]) -> set[str]:
        """Of the digests that are known, those whose bytes need not be stored again.

        Small ones are read here, as few are stored already. Large ones were, by whoever staged the same again.
        """
        whole: set[str] = set()
        damaged: set[str] = set()
        for one in arrived:
            at = known.get(one.sha256)
            if at is None or at.store not in ORIGINALS or one.sha256 in whole | damaged:
                continue
            if one.staged is not None and at.store == StoreName.FILES:
                is_whole = self._blobs.holds(at) and not one.staged.heals
            else:
                is_whole = self._blobs.is_whole(at, one.sha256)
            (whole if is_whole else damaged).add(one.sha256)
        return whole

    def _write_bytes(self, c: Connection, new: Pairs, lost: Pairs, known: dict[str, Locator], whole: set[str]) -> None:
        """Write a record for each segment, with the bytes of those that are not there; note where they lie."""
        fresh: dict[str, Locator] = {}
        records: list[Record] = []
        packed: dict[str, int] = {}
        for stored, one in (*new, *lost):
            if one.sha256 in whole or one.sha256 in fresh or one.sha256 in packed:
                records.append(_record(stored, ()))
            elif one.staged is not None:
                fresh[one.sha256] = one.staged.keep()
                records.append(_record(stored, ()))
            else:
                packed[one.sha256] = len(records)
                records.append(_record(stored, one.parts))
        if fresh:
            self._blobs.sync()
        places = self._blobs.append(StoreName.PACKS, records)
        fresh |= {digest: places[i] for digest, i in packed.items()}
        references = Counter(one.sha256 for _, one in new)
        blob_rows.insert_blobs(c, {digest: at for digest, at in fresh.items() if digest not in known}, references)
        blob_rows.relocate_blobs(c, {digest: at for digest, at in fresh.items() if digest in known})
        blob_rows.add_references(c, {digest: more for digest, more in references.items() if digest in known})

    def _segment(self, one: Arrived, now_ms: int) -> Segment:
        return Segment(
            id=self._new_id(),
            track_id=one.announcement.track_id,
            index=one.announcement.index,
            sha256=one.sha256,
            size_bytes=one.size_bytes,
            stored_at_ms=now_ms,
            status=SegmentStatus.PENDING,
            media=LaneStatus.PENDING,
            speech=LaneStatus.PENDING,
            start_ms=one.announcement.start_ms,
            duration_ms=one.announcement.duration_ms,
            mime_type=one.mime_type,
        )


def check_address(addresses: dict[str, Address], track_id: str) -> Address:
    """Where a track's segments belong.

    Raises:
        NotFound: There is no such track. Trashed: Its session lies in the trash. AudioDeleted: Its recordings have been
        deleted, and what comes late would bring a part of them back.
    """
    address = addresses.get(track_id)
    if address is None:
        raise NotFound("track", track_id)
    if address.is_trashed:
        raise Trashed(address.session_id)
    if address.audio_deleted_at_ms is not None:
        raise AudioDeleted(address.session_id, address.audio_deleted_at_ms)
    return address


def _record(stored: Stored, body: Sequence[bytes]) -> Record:
    head = segments.head_of(stored.segment, stored.session_id)
    return Record(head=head if body else head | {"body": ELSEWHERE}, body=body)


def _receipt(segment: Segment, *, is_new: bool) -> Receipt:
    return Receipt(
        segment_id=segment.id,
        index=segment.index,
        sha256=segment.sha256,
        size_bytes=segment.size_bytes,
        stored_at_ms=segment.stored_at_ms,
        status=segment.status,
        is_new=is_new,
    )


def _answer(batch: Sequence[Waiter], outcomes: Sequence[Outcome]) -> None:
    """Wake everybody who waits: each event loop once."""
    by_loop: dict[asyncio.AbstractEventLoop | None, list[tuple[Waiter, Outcome]]] = {}
    for waiter, outcome in zip(batch, outcomes, strict=True):
        by_loop.setdefault(waiter.loop, []).append((waiter, outcome))
    for loop, answers in by_loop.items():
        if loop is None:
            _resolve(answers)
            continue
        try:
            loop.call_soon_threadsafe(_resolve, answers)
        except RuntimeError:  # the loop has ended, and all who waited in it
            log.info("receipts_not_awaited", segments=len(answers))


def _resolve(answers: Sequence[tuple[Waiter, Outcome]]) -> None:
    for waiter, outcome in answers:
        if waiter.future.done():  # its request was cut off meanwhile; the segment is stored all the same
            continue
        if isinstance(outcome, Exception):
            waiter.future.set_exception(outcome)
        else:
            waiter.future.set_result(outcome)
