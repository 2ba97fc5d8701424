"""What should be there against what is: a part is never shown as the whole.

Belongs here: gaps with their cause, expected and stored time. Does not: where segments lie (`timeline`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain, pairwise

from longtake.model.session import Covered, LaneStatus, Segment
from longtake.model.timeline import JOIN_TOLERANCE_NS, ms_to_ns, ns_to_ms


class Cause(StrEnum):
    """Why a stretch of a track has no sound."""

    MISSING = "missing"
    """A segment with a lower number than others never arrived."""
    FAILED = "failed"
    """Its segment arrived and is kept, but could not be decoded."""
    NOT_RECORDED = "not_recorded"
    """The recorder itself left a hole: the segments on both sides are there."""
    TAIL = "tail"
    """Segments at the end, announced by the recorder, never arrived."""
    DELETED = "deleted"
    """Somebody deleted what was recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A stretch of a track without sound, on the session's media timeline."""

    start_ms: int
    end_ms: int
    cause: Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Expected against stored time of one track.

    `missing` are the indices that never arrived, `damaged` those that could be decoded only in part.
    """

    expected_ms: int
    stored_ms: int
    gaps: tuple[Gap, ...]
    missing: tuple[int, ...] = ()
    damaged: tuple[int, ...] = ()

    @property
    def is_whole(self) -> bool:
        return not self.gaps and not self.missing and not self.damaged


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Coverage in three numbers; `gap_count` counts whatever keeps a track from being whole."""

    expected_ms: int
    stored_ms: int
    gap_count: int


NOTHING = Covered()
MAX_MISSING_LISTED = 1000
USUAL_MS = 60_000
"""A segment is seldom longer: where the next one begins later than that, its recorder may well have paused."""
DAMAGED = "media_damaged"
"""The error that a segment keeps of which only a part could be decoded."""


def coverage(
    segments: Sequence[Segment], *, expected_ms: int | None = None, expected_segments: int | None = None
) -> Coverage:
    """Compare what arrived on a track with what should have.

    Args:
        segments: All segments of the track, by index. Those not decoded yet count with their announced times.
        expected_ms: Where the track should end, as its recorder says.
        expected_segments: How many segments there should be.

    Returns:
        Gaps in order, without overlap, each at least as long as the tolerance of a joint.
    """
    so_far = NOTHING
    gaps: list[Gap] = []
    missing: list[int] = []
    for segment in _with_lengths(segments):
        missing.extend(_listed(so_far.next_index, segment.index, missing))
        so_far, gap = cover(so_far, segment)
        if gap is not None:
            gaps.append(gap)
    missing.extend(_listed(so_far.next_index, expected_segments or 0, missing))
    tail = _tail(so_far, expected_ms)
    return Coverage(
        expected_ms=ns_to_ms(_expected_ns(so_far, expected_ms)),
        stored_ms=ns_to_ms(so_far.stored_ns),
        gaps=tuple(gaps if tail is None else [*gaps, tail]),
        missing=tuple(missing),
        damaged=tuple(s.index for s in segments if s.media is LaneStatus.DONE and s.error_code == DAMAGED),
    )


def figures(so_far: Covered, *, expected_ms: int | None = None, expected_segments: int | None = None) -> Figures:
    """The figures of `coverage`, from what is covered by all segments of a track: at the same cost for any number."""
    gap_count = so_far.gap_count + (_tail(so_far, expected_ms) is not None)
    is_missing = so_far.is_missing or (expected_segments or 0) > so_far.next_index
    return Figures(
        expected_ms=ns_to_ms(_expected_ns(so_far, expected_ms)),
        stored_ms=ns_to_ms(so_far.stored_ns),
        gap_count=(gap_count or int(is_missing)) + so_far.damaged_count,
    )


def deleted(length_ns: int, expected_ms: int | None) -> Coverage:
    """Of a track whose recordings were deleted: one gap as long as it was."""
    whole_ms = max(ns_to_ms(length_ns), expected_ms or 0)
    gaps = (Gap(start_ms=0, end_ms=whole_ms, cause=Cause.DELETED),) if whole_ms else ()
    return Coverage(expected_ms=whole_ms, stored_ms=0, gaps=gaps)


def cover_all(segments: Iterable[Segment], so_far: Covered = NOTHING) -> Covered:
    """What is covered with segments more, in order of their index, of higher ones than any before."""
    for segment in _with_lengths(segments):
        so_far, _ = cover(so_far, segment)
    return so_far


def cover(so_far: Covered, segment: Segment) -> tuple[Covered, Gap | None]:
    """What is covered with one segment more, of a higher index than any before; and the gap that it closes off."""
    is_missing = segment.index > so_far.next_index
    cause = Cause.MISSING if is_missing else so_far.cause
    next_index, is_missing = segment.index + 1, is_missing or so_far.is_missing
    if segment.media is LaneStatus.FAILED:
        ends_ns = ms_to_ns(segment.start_ms + (segment.duration_ms or 0)) if segment.start_ms is not None else 0
        failed = replace(
            so_far, next_index=next_index, cause=Cause.FAILED, failed_until_ns=ends_ns, is_missing=is_missing
        )
        return failed, None
    start_ns, end_ns = _span(segment, so_far.covered_ns)
    gap = None
    if start_ns > so_far.covered_ns + JOIN_TOLERANCE_NS:
        gap = _gap(so_far.covered_ns, start_ns, Cause(cause or Cause.NOT_RECORDED))
    covered = Covered(
        next_index=next_index,
        covered_ns=max(so_far.covered_ns, end_ns),
        stored_ns=so_far.stored_ns + max(0, end_ns - max(start_ns, so_far.covered_ns)),
        gap_count=so_far.gap_count + (gap is not None),
        damaged_count=so_far.damaged_count + (segment.media is LaneStatus.DONE and segment.error_code == DAMAGED),
        is_missing=is_missing,
    )
    return covered, gap


def _with_lengths(segments: Iterable[Segment]) -> Iterator[Segment]:
    """The segments; one that waits to be decoded, and whose length nobody said, reaches to where the next begins.

    What is missing in between is taken to be as long.
    """
    for segment, following in pairwise(chain(segments, [None])):
        assert segment is not None
        is_unknown = segment.duration_ms is None and segment.start_ms is not None and segment.placed() is None
        if is_unknown and following is not None:
            length_ms = ((following.start_ms or 0) - (segment.start_ms or 0)) // (following.index - segment.index)
            yield replace(segment, duration_ms=length_ms) if 0 < length_ms <= USUAL_MS else segment
        else:
            yield segment


def _expected_ns(so_far: Covered, expected_ms: int | None) -> int:
    return max(so_far.covered_ns, ms_to_ns(expected_ms or 0), so_far.failed_until_ns)


def _tail(so_far: Covered, expected_ms: int | None) -> Gap | None:
    """What is missing behind the last sound."""
    expected_ns = _expected_ns(so_far, expected_ms)
    if expected_ns <= so_far.covered_ns + JOIN_TOLERANCE_NS:
        return None
    return _gap(so_far.covered_ns, expected_ns, Cause(so_far.cause or Cause.TAIL))


def _listed(first: int, behind: int, missing: Sequence[int]) -> range:
    """Indices that never came, as many as may still be listed."""
    return range(first, min(behind, first + MAX_MISSING_LISTED - len(missing)))


def _span(segment: Segment, joint_ns: int) -> tuple[int, int]:
    placed = segment.placed()
    if placed is not None:
        return placed.start_ns, placed.end_ns
    start_ns = joint_ns if segment.start_ms is None else ms_to_ns(segment.start_ms)
    return start_ns, start_ns + ms_to_ns(segment.duration_ms or 0)


def _gap(start_ns: int, end_ns: int, cause: Cause) -> Gap:
    return Gap(start_ms=ns_to_ms(start_ns), end_ms=ns_to_ms(end_ns), cause=cause)
