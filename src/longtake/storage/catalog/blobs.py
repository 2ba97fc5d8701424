"""Which bytes are stored, where, and how many rows refer to them. Every reference is counted where its row is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, bindparam, case, delete, func, insert, select, tuple_, update

from longtake.model.errors import NotFound
from longtake.storage.blobs import Locator
from longtake.storage.prepared import Lookup, Prepared
from longtake.storage.tables import artifacts, blobs, blocks, segments

INSERT = Prepared(insert(blobs))
LOCATE = Lookup(
    select(blobs.c.sha256, blobs.c.store, blobs.c.key, blobs.c.offset, blobs.c.size_bytes).where(
        blobs.c.sha256.in_(bindparam("digests", expanding=True))
    )
)
ADD_REFERENCES = (
    update(blobs)
    .where(blobs.c.sha256 == bindparam("digest"))
    .values(ref_count=blobs.c.ref_count + bindparam("more"), orphaned_at_ms=None)
)
RELEASE_REFERENCES = (
    update(blobs)
    .where(blobs.c.sha256.in_(bindparam("digests", expanding=True)))
    .values(
        ref_count=blobs.c.ref_count - bindparam("fewer"),
        orphaned_at_ms=case((blobs.c.ref_count == bindparam("fewer"), bindparam("at_ms")), else_=None),
    )
)
RELOCATE = (
    update(blobs)
    .where(blobs.c.sha256 == bindparam("digest"))
    .values(store=bindparam("to_store"), key=bindparam("to_key"), offset=bindparam("to_offset"))
)


def locate(c: Connection, digests: Sequence[str]) -> dict[str, Locator]:
    """Where some digests lie; those not stored are left out."""
    return {
        sha256: Locator(store=store, key=key, offset=offset, size_bytes=size_bytes)
        for sha256, store, key, offset, size_bytes in LOCATE.rows(c, digests=digests)
    }


def get_locator(c: Connection, sha256: str) -> Locator:
    """Where a digest lies; raises NotFound."""
    found = locate(c, [sha256])
    if not found:
        raise NotFound("blob", sha256)
    return found[sha256]


def insert_blobs(c: Connection, located: Mapping[str, Locator], references: Mapping[str, int] | None = None) -> None:
    """Note new bytes, with as many references as are said (else none: they follow in the same transaction)."""
    INSERT.run(
        c,
        [
            {
                "sha256": sha256,
                "size_bytes": locator.size_bytes,
                "ref_count": 0 if references is None else references[sha256],
                "store": locator.store,
                "key": locator.key,
                "offset": locator.offset,
            }
            for sha256, locator in located.items()
        ],
    )


def relocate_blobs(c: Connection, located: Mapping[str, Locator]) -> None:
    """Note that bytes now lie elsewhere; their references stay."""
    if located:
        c.execute(
            RELOCATE,
            [
                {"digest": sha256, "to_store": at.store, "to_key": at.key, "to_offset": at.offset}
                for sha256, at in located.items()
            ],
        )


def add_references(c: Connection, counts: Mapping[str, int]) -> None:
    """Rows that refer to bytes have been added: digest → how many more. Whatever has a reference is no orphan."""
    if counts:
        c.execute(ADD_REFERENCES, [{"digest": sha256, "more": more} for sha256, more in counts.items()])


def add_reference(c: Connection, sha256: str) -> None:
    """One row more refers to these bytes."""
    add_references(c, {sha256: 1})


def release_references(c: Connection, counts: Mapping[str, int], at_ms: int) -> None:
    """Rows that refer to bytes have been removed: digest → how many fewer. The last one leaves an orphan."""
    for fewer in set(counts.values()):
        digests = [sha256 for sha256, count in counts.items() if count == fewer]
        c.execute(RELEASE_REFERENCES, {"digests": digests, "fewer": fewer, "at_ms": at_ms})


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """Bytes to which nothing refers."""

    sha256: str
    locator: Locator


def orphans(c: Connection, before_ms: int, after: tuple[int, str], limit: int) -> list[tuple[int, Orphan]]:
    """Bytes without a reference since before a moment, and since when; from behind a position (since, digest)."""
    since, sha256 = blobs.c.orphaned_at_ms, blobs.c.sha256
    query = select(blobs).where(since <= before_ms, tuple_(since, sha256) > tuple_(*after), blobs.c.ref_count == 0)
    return [(row.orphaned_at_ms, _orphan(row)) for row in c.execute(query.order_by(since, sha256).limit(limit))]


def referred_to(c: Connection) -> Iterator[str]:
    """Every digest that a row names, as often as there are such rows."""
    for table in (segments, blocks, artifacts):
        yield from c.execution_options(yield_per=1000).execute(select(table.c.sha256)).scalars()


def remove_orphans(c: Connection, digests: Sequence[str], before_ms: int) -> list[Orphan]:
    """Remove the rows of those to which nothing has referred since before a moment; returns which they were."""
    where = (blobs.c.sha256.in_(digests), blobs.c.ref_count == 0, blobs.c.orphaned_at_ms <= before_ms)
    found = [_orphan(row) for row in c.execute(select(blobs).where(*where))]
    c.execute(delete(blobs).where(blobs.c.sha256.in_([one.sha256 for one in found])))
    return found


def held_bytes(c: Connection, store: str) -> dict[str, tuple[int, int]]:
    """By pack: how many bodies lie in it that a row of bytes names, and their bytes."""
    query = select(blobs.c.key, func.count(), func.sum(blobs.c.size_bytes)).where(blobs.c.store == store)
    return {row[0]: (row[1], row[2]) for row in c.execute(query.group_by(blobs.c.key))}


def locator_of(row: Row[tuple[object, ...]]) -> Locator:
    """Where the bytes of a row lie."""
    return Locator(store=row.store, key=row.key, offset=row.offset, size_bytes=row.size_bytes)


def _orphan(row: Row[tuple[object, ...]]) -> Orphan:
    return Orphan(sha256=row.sha256, locator=locator_of(row))
