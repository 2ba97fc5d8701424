"""What came of making a database anew."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A segment that cannot return whole."""

    session_id: str
    track_id: str
    index: int
    start_ms: int | None
    why: str


@dataclass(slots=True, kw_only=True)
class Rebuilt:
    """What came of it."""

    sessions: int = 0
    segments: int = 0
    size_bytes: int = 0
    deleted_sessions: int = 0
    unnamed: list[str] = field(default_factory=list)
    """Sessions of which the packs tell nothing but their segments: title, kinds of tracks and people are unknown."""
    lost: list[Lost] = field(default_factory=list)
    broken: list[tuple[str, int, int]] = field(default_factory=list)
    """Damaged stretches of packs: (pack, offset, bytes)."""
    unreferenced_files: int = 0
    moved_to: list[str] = field(default_factory=list)
