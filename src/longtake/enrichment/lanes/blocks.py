"""Blocks of a track or of the mix: which are decided, and making them in turns.

Belongs here: what both kinds of lanes do with blocks. Does not: encoding one (`media.blocks`), which are stale (the
lanes).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from longtake.media.blocks import EncodedBlock, Read, block_count, block_of, encode_block, input_span
from longtake.media.timeline_pcm import CONTEXT_NS
from longtake.model.timeline import RATE_HZ, ns_to_samples
from longtake.storage.blobs import StoreName
from longtake.storage.catalog import derived
from longtake.storage.packs import Record
from longtake.storage.store import Store

BATCH_BLOCKS = 4
"""Blocks that share a flush and a transaction."""
CHECKED_AT_ONCE = 256
"""Blocks that are compared with what they are made from at once: a recorder may claim weeks in between two segments."""
TURN_S = 0.5
"""After this time a run lets others have their turn: a long import never keeps a short session from being played."""


class Turn:
    """The time that a run of a lane has before it is another's turn."""

    def __init__(self, is_stopping: Callable[[], bool], seconds: float = TURN_S) -> None:
        self._is_stopping = is_stopping
        self._until = time.monotonic() + seconds

    def is_over(self) -> bool:
        """Whether the run should come to an end."""
        return self._is_stopping() or time.monotonic() > self._until


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A block that is to be made, and the digest of what it is made from."""

    number: int
    made_from: str


def decided_blocks(length_samples: int, *, is_final: bool) -> int:
    """How many blocks are decided when a recording is known up to a sample: all of them at its end."""
    if is_final:
        return block_count(length_samples)
    known = length_samples - ns_to_samples(CONTEXT_NS, RATE_HZ)
    count = block_of(max(0, known))
    while count and input_span(count - 1, None)[1] > known:
        count -= 1
    return count


def put_blocks(
    store: Store,
    session_id: str,
    owner_id: str,
    channels: int,
    read: Read,
    source: Callable[[int], str],
    numbers: range,
    total_samples: int | None,
    is_over: Callable[[], bool],
) -> int:
    """Make those of some blocks that are missing or stale, several to a flush, until it is over, but at least some.

    Args:
        store: Rows and bytes.
        session_id: Whose they are.
        owner_id: The track, or the session for its mix.
        channels: 1 or 2.
        read: Samples at 48 kHz.
        source: The digest of what a block is made from.
        numbers: The blocks to look at.
        total_samples: The length of what has ended.
        is_over: Whether others have their turn.

    Returns:
        The number below which all of them are up to date.
    """
    did = False
    for first in range(numbers.start, numbers.stop, CHECKED_AT_ONCE):
        behind = min(first + CHECKED_AT_ONCE, numbers.stop)
        with store.db.read() as c:
            have = derived.block_keys(c, owner_id, first, behind)
        wanted = [
            Wanted(number=number, made_from=made_from)
            for number in range(first, behind)
            if (made_from := source(number)) != have.get(number, (0, None))[1]
        ]
        for at in range(0, len(wanted), BATCH_BLOCKS):
            if did and is_over():
                return wanted[at].number
            did = True
            batch = [
                (one, encode_block(read, block=one.number, channels=channels, total_samples=total_samples))
                for one in wanted[at : at + BATCH_BLOCKS]
            ]
            _store_blocks(store, session_id, owner_id, channels, batch)
        did = True
        if is_over():
            return behind
    return numbers.stop


def _store_blocks(
    store: Store, session_id: str, owner_id: str, channels: int, batch: list[tuple[Wanted, EncodedBlock]]
) -> None:
    """Bytes first, then the rows, in place of earlier revisions."""
    digests = [hashlib.sha256(made.payload).hexdigest() for _, made in batch]
    records = [
        Record(head={"kind": "block", "owner": owner_id, "number": one.number, "sha256": sha256}, body=[made.payload])
        for (one, made), sha256 in zip(batch, digests, strict=True)
    ]
    with store.blobs.appended(StoreName.DERIVED, records) as locators, store.db.write() as c:
        have = derived.block_keys(c, owner_id, batch[0][0].number, batch[-1][0].number + 1)
        blocks = [
            derived.Block(
                owner_id=owner_id,
                number=one.number,
                revision=have[one.number][0] + 1 if one.number in have else 1,
                made_from=one.made_from,
                sha256=sha256,
                size_bytes=len(made.payload),
                samples=made.samples,
                channels=channels,
                frame_sizes=made.sizes.astype(">u2").tobytes(),
                peaks=made.peaks,
            )
            for (one, made), sha256 in zip(batch, digests, strict=True)
        ]
        derived.put_blocks(c, session_id, list(zip(blocks, locators, strict=True)), store.now_ms())
