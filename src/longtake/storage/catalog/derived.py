"""What is made of segments: blocks of sound and kept artifacts. Each row names what it was made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, Row, and_, delete, func, insert, select

from longtake.storage.blobs import Locator
from longtake.storage.catalog.blobs import (
    add_reference,
    add_references,
    insert_blobs,
    locate,
    locator_of,
    release_references,
)
from longtake.storage.catalog.sessions import check_recorded, check_there
from longtake.storage.prepared import Prepared
from longtake.storage.tables import artifacts, blobs, blocks

INSERT = Prepared(insert(blocks))

TEXTS = frozenset(
    {"transcript", "srt", "vtt", "json", "analysis", "report", "report_html", "report_pdf", "notes", "log"}
)
"""The kept files in which nothing is heard or seen: they stay when the recordings are deleted."""

LOCATED_AT_ONCE = 1000
"""Blocks that one query names: SQLite allows 32,766 values, which are 91 hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Ten seconds of a track or of the mix, as AAC frames.

    `frame_sizes` are big-endian uint16; `peaks` as `media.waveform` makes them; `made_from` is the digest of everything
    it is a function of.
    """

    owner_id: str
    number: int
    revision: int
    made_from: str
    sha256: str
    size_bytes: int
    samples: int
    channels: int
    frame_sizes: bytes
    peaks: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file that was made on request and kept."""

    session_id: str
    file_type: str
    made_from: str
    sha256: str
    size_bytes: int
    made_at_ms: int


def put_blocks(c: Connection, session_id: str, made: Sequence[tuple[Block, Locator]], at_ms: int) -> None:
    """Store blocks of one owner in place of their earlier revisions; the bytes are stored already, at the locators.

    Raises:
        NotFound, AudioDeleted: The session, or what was recorded, has been deleted.
    """
    check_recorded(c, session_id)
    if not made:
        return
    owner_id, numbers = made[0][0].owner_id, [block.number for block, _ in made]
    where = (blocks.c.owner_id == owner_id, blocks.c.number.in_(numbers))
    released = Counter(c.execute(select(blocks.c.sha256).where(*where)).scalars())
    if released:
        c.execute(delete(blocks).where(*where))
    used = Counter(block.sha256 for block, _ in made)
    known = locate(c, list(used))
    insert_blobs(c, {block.sha256: locator for block, locator in made if block.sha256 not in known})
    INSERT.run(c, [asdict(block) | {"session_id": session_id} for block, _ in made])
    add_references(c, used)
    release_references(c, released, at_ms)


def drop_blocks(c: Connection, owner_id: str, from_number: int, at_ms: int) -> None:
    """Remove the blocks from a number on: the timeline has become shorter."""
    where = (blocks.c.owner_id == owner_id, blocks.c.number >= from_number)
    released = Counter(c.execute(select(blocks.c.sha256).where(*where)).scalars())
    c.execute(delete(blocks).where(*where))
    release_references(c, released, at_ms)


def list_blocks(c: Connection, owner_id: str, first: int = 0, until: int | None = None) -> list[Block]:
    """The blocks [first, until) of a track or mix, in order."""
    query = select(blocks).where(blocks.c.owner_id == owner_id, blocks.c.number >= first)
    if until is not None:
        query = query.where(blocks.c.number < until)
    return [_block(row) for row in c.execute(query.order_by(blocks.c.number))]


def block_keys(c: Connection, owner_id: str, first: int = 0, until: int | None = None) -> dict[int, tuple[int, str]]:
    """Number → (revision, made_from) of the blocks [first, until): what is needed to tell which are stale."""
    query = select(blocks.c.number, blocks.c.revision, blocks.c.made_from).where(
        blocks.c.owner_id == owner_id, blocks.c.number >= first
    )
    if until is not None:
        query = query.where(blocks.c.number < until)
    return {row.number: (row.revision, row.made_from) for row in c.execute(query)}


def stale_copies(c: Connection, owner_id: str, copy_id: str) -> dict[int, int]:
    """Blocks that a copy lacks or has otherwise: number → the copy's revision, 0 for none."""
    copies = blocks.alias("copies")
    query = (
        select(blocks.c.number, func.coalesce(copies.c.revision, 0).label("revision"))
        .join_from(blocks, copies, and_(copies.c.owner_id == copy_id, copies.c.number == blocks.c.number), isouter=True)
        .where(blocks.c.owner_id == owner_id, blocks.c.made_from.is_distinct_from(copies.c.made_from))
    )
    return {row.number: row.revision for row in c.execute(query.order_by(blocks.c.number))}


def locate_blocks(c: Connection, owner_id: str, numbers: Sequence[int]) -> dict[int, tuple[Block, Locator]]:
    """Blocks with where their bytes lie."""
    found: dict[int, tuple[Block, Locator]] = {}
    for first in range(0, len(numbers), LOCATED_AT_ONCE):
        query = (
            select(blocks, blobs.c.store, blobs.c.key, blobs.c.offset)
            .join(blobs, blobs.c.sha256 == blocks.c.sha256)
            .where(blocks.c.owner_id == owner_id, blocks.c.number.in_(numbers[first : first + LOCATED_AT_ONCE]))
        )
        for row in c.execute(query):
            found[row.number] = (_block(row), locator_of(row))
    return found


def find_artifact(c: Connection, session_id: str, file_type: str) -> Artifact | None:
    """A kept file of a session, or None."""
    query = select(artifacts).where(artifacts.c.session_id == session_id, artifacts.c.file_type == file_type)
    row = c.execute(query).one_or_none()
    if row is None:
        return None
    return Artifact(
        session_id=row.session_id,
        file_type=row.file_type,
        made_from=row.made_from,
        sha256=row.sha256,
        size_bytes=row.size_bytes,
        made_at_ms=row.made_at_ms,
    )


def put_artifact(c: Connection, artifact: Artifact, locator: Locator) -> None:
    """Keep a file in place of an earlier one; the bytes are stored already, at `locator`.

    Raises:
        NotFound, AudioDeleted: The session, or what was recorded, has been deleted.
    """
    if artifact.file_type in TEXTS:
        check_there(c, artifact.session_id)
    else:
        check_recorded(c, artifact.session_id)
    old = find_artifact(c, artifact.session_id, artifact.file_type)
    if artifact.sha256 not in locate(c, [artifact.sha256]):
        insert_blobs(c, {artifact.sha256: locator})
    if old is not None:
        drop_artifact(c, old, artifact.made_at_ms)
    c.execute(
        insert(artifacts).values(
            session_id=artifact.session_id,
            file_type=artifact.file_type,
            made_from=artifact.made_from,
            sha256=artifact.sha256,
            size_bytes=artifact.size_bytes,
            made_at_ms=artifact.made_at_ms,
        )
    )
    add_reference(c, artifact.sha256)


def drop_artifact(c: Connection, artifact: Artifact, at_ms: int) -> None:
    """Forget a kept file."""
    where = (artifacts.c.session_id == artifact.session_id, artifacts.c.file_type == artifact.file_type)
    c.execute(delete(artifacts).where(*where))
    release_references(c, {artifact.sha256: 1}, at_ms)


def _block(row: Row[tuple[object, ...]]) -> Block:
    return Block(
        owner_id=row.owner_id,
        number=row.number,
        revision=row.revision,
        made_from=row.made_from,
        sha256=row.sha256,
        size_bytes=row.size_bytes,
        samples=row.samples,
        channels=row.channels,
        frame_sizes=row.frame_sizes,
        peaks=row.peaks,
    )
