"""Receives segments: bytes in, receipts out. A receipt means durable, and the same request twice means once.

Belongs here: admission, and driving a body from an event loop or a thread. Does not: what a body must satisfy
(`ingest.body`), how it is stored (`ingest.committer`), HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection

from longtake.ingest.body import Arrived, Body
from longtake.ingest.committer import Committer, Stored, Waiter, check_address
from longtake.ingest.figures import Figures
from longtake.ingest.protocol import Announcement, check_size
from longtake.model.errors import Overloaded, StorageFull, Unavailable
from longtake.model.session import Receipt
from longtake.storage.blobs import Blobs
from longtake.storage.catalog import segments
from longtake.storage.database import Database

KNOWN_TRACKS = 10_000
WRITERS = 4

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is taken.

    Attributes:
        segment_bytes: The largest body, where the caller does not say another.
        small_bytes: Bodies up to this size are held in memory and go into a pack; larger ones become files.
        queue_bytes: When more waits to be stored, further bodies are refused as `Overloaded`.
        reserve_bytes: This much room is left on the disk, for the database to go on.
    """

    segment_bytes: int = 4 << 30
    small_bytes: int = 256 << 10
    queue_bytes: int = 64 << 20
    reserve_bytes: int = 64 << 20


class Receiver:
    """Takes segments from coroutines and threads alike; `close` when done."""

    def __init__(
        self,
        db: Database,
        blobs: Blobs,
        *,
        now_ms: Callable[[], int],
        new_id: Callable[[], str],
        recognise: Callable[[bytes], str | None],
        free_bytes: Callable[[], int],
        in_transaction: Callable[[Connection, Sequence[Stored]], None],
        after_commit: Callable[[Sequence[Stored]], None],
        limits: Limits | None = None,
    ) -> None:
        """Start the committer.

        Args:
            recognise: The MIME type that a body's first bytes announce, or None: it is not taken.
            free_bytes: The room left on the disk.
            in_transaction: Called in the storing transaction with what is new; what it raises undoes the storing.
            after_commit: Called afterwards, in the committer's thread.
        """
        self._db = db
        self._blobs = blobs
        self._recognise = recognise
        self._free_bytes = free_bytes
        self._limits = limits or Limits()
        self._threads = ThreadPoolExecutor(WRITERS, thread_name_prefix="ingest")
        self._known: dict[str, None] = {}
        self._committer = Committer(
            db, blobs, now_ms=now_ms, new_id=new_id, in_transaction=in_transaction, after_commit=after_commit
        )

    @property
    def figures(self) -> Figures:
        """How segments are doing."""
        return self._committer.figures

    @property
    def queued_bytes(self) -> int:
        """How much has arrived and waits to be stored."""
        return self._committer.queued_bytes

    async def receive(
        self, announcement: Announcement, pieces: AsyncIterator[bytes], *, limit_bytes: int | None = None
    ) -> Receipt:
        """Store a segment; returns when it is durable.

        Raises:
            NotFound, Trashed, AudioDeleted: There is nowhere to store it. TooLarge, Unsupported, Invalid, ShortBody,
            DigestMismatch: It is not what may be stored. SegmentConflict: Another body lies there. Overloaded,
            StorageFull, StorageFailed, Unavailable: Not now. In each case nothing of it is left.
        """
        loop = asyncio.get_running_loop()
        if announcement.track_id not in self._known:
            await asyncio.wrap_future(self._submit(self._look_up, announcement.track_id))
        body = self._begin(announcement, limit_bytes)
        writing: Future[None] | None = None
        finishing: Future[Arrived] | None = None
        try:
            async for piece in pieces:
                if body.take(piece):
                    if writing is not None:
                        await asyncio.wrap_future(writing)
                    self._check_room(0)
                    writing = self._submit(body.write, body.held())
            if writing is not None:
                await asyncio.wrap_future(writing)
            if body.is_small:
                arrived = body.finish()
            else:
                finishing = self._submit(body.finish)
                arrived = await asyncio.wrap_future(finishing)
            receipt: asyncio.Future[Receipt] = loop.create_future()
            self._committer.put(Waiter(arrived=arrived, future=receipt, loop=loop))
        except BaseException:
            if busy := finishing or writing:  # a thread may still be at it
                busy.add_done_callback(lambda _: body.discard())
            else:
                body.discard()
            raise
        return await receipt

    def receive_blocking(
        self, announcement: Announcement, pieces: Iterable[bytes], *, limit_bytes: int | None = None
    ) -> Receipt:
        """Like `receive`, for a thread."""
        if announcement.track_id not in self._known:
            self._look_up(announcement.track_id)
        body = self._begin(announcement, limit_bytes)
        try:
            for piece in pieces:
                if body.take(piece):
                    self._check_room(0)
                    body.write(body.held())
            receipt: Future[Receipt] = Future()
            self._committer.put(Waiter(arrived=body.finish(), future=receipt, loop=None))
        except BaseException:
            body.discard()
            raise
        return receipt.result()

    @property
    def is_alive(self) -> bool:
        """Whether segments are still being stored."""
        return self._committer.is_alive

    def close(self) -> None:
        """Store what has arrived, answer it, and end."""
        self._threads.shutdown()
        self._committer.close()

    def _submit(self, function: Callable[..., Result], *args: object) -> Future[Result]:
        """Have a thread do it; raises Unavailable when it is too late for that."""
        try:
            return self._threads.submit(function, *args)
        except RuntimeError as error:
            raise Unavailable("longtake is shutting down") from error

    def _begin(self, announcement: Announcement, limit_bytes: int | None) -> Body:
        """Refuse what can be refused before its bytes are taken."""
        limit_bytes = self._limits.segment_bytes if limit_bytes is None else limit_bytes
        check_size(announcement.size_bytes, limit_bytes)
        if self.queued_bytes > self._limits.queue_bytes:
            raise Overloaded("more arrives than the disk takes: send it again in a moment")
        self._check_room(announcement.size_bytes or 0)
        return Body(
            announcement,
            limit_bytes=limit_bytes,
            small_bytes=self._limits.small_bytes,
            recognise=self._recognise,
            stage=self._blobs.stage,
        )

    def _check_room(self, size_bytes: int) -> None:
        free = self._free_bytes()
        if free < size_bytes + self._limits.reserve_bytes:
            raise StorageFull(f"the disk is full: {free} bytes are left", free_bytes=free)

    def _look_up(self, track_id: str) -> None:
        """Refuse an unknown track. A known one is remembered: the transaction looks again in any case."""
        with self._db.read() as c:
            check_address(segments.find_addresses(c, [track_id]), track_id)
        if len(self._known) >= KNOWN_TRACKS:
            self._known.clear()
        self._known[track_id] = None
