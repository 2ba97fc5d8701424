"""What a verification found."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class What(StrEnum):
    """What is damaged."""

    SEGMENT = "segment"  # acknowledged bytes: they are lost unless another copy is found
    BLOCK = "block"  # made from segments: can be made again
    ARTIFACT = "artifact"  # likewise
    RECORD = "record"  # the packs do not tell of a row any more: a rebuild would not bring it back
    COUNTER = "counter"  # a number that does not equal its rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One thing that is not as it should be, and whose it is. `why` says what; `place` where on the disk."""

    what: What
    why: str
    session_id: str | None = None
    track_id: str | None = None
    index: int | None = None
    start_ms: int | None = None
    duration_ms: int | None = None
    sha256: str | None = None
    place: str | None = None
    copy: tuple[str, str, int] | None = None
    """Where the same bytes lie whole: store, key, offset."""

    @property
    def is_repairable(self) -> bool:
        """Whether it can be derived from what is whole."""
        return self.what is not What.SEGMENT or self.copy is not None


@dataclass(slots=True, kw_only=True)
class Verified:
    """All that was found. Only `damaged` is wrong; the rest is what crashes and deletions leave."""

    blobs: int = 0
    read_bytes: int = 0
    records: int = 0
    damaged: list[Damage] = field(default_factory=list)
    torn_tails: list[str] = field(default_factory=list)
    """Packs whose last write was cut off: it was never acknowledged."""
    unreferenced_files: list[str] = field(default_factory=list)
    unreferenced_bytes: int = 0
    """In files and packs, of what no row names (any more)."""
    rowless: list[str] = field(default_factory=list)
    """Segments that the packs tell of and the database does not know: by name."""
    repaired: int = 0

    @property
    def left(self) -> int:
        """How much damage remains."""
        return len(self.damaged) - self.repaired
