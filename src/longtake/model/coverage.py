"""What should be there against what is: a part is never shown as the whole.

Belongs here: gaps with their cause, expected and stored time. Does not: where segments lie (`timeline`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from longtake.model.session import LaneStatus, Segment
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


MAX_MISSING_LISTED = 1000
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
    gaps: list[Gap] = []
    missing: list[int] = []
    covered_ns = stored_ns = 0
    next_index = 0
    cause: Cause | None = None
    for segment in segments:
        if segment.index > next_index:
            cause = Cause.MISSING
            missing.extend(range(next_index, min(segment.index, next_index + MAX_MISSING_LISTED - len(missing))))
        next_index = segment.index + 1
        if segment.media is LaneStatus.FAILED:
            cause = Cause.FAILED
            continue
        start_ns, end_ns = _span(segment, covered_ns)
        if start_ns > covered_ns + JOIN_TOLERANCE_NS:
            gaps.append(_gap(covered_ns, start_ns, cause or Cause.NOT_RECORDED))
        cause = None
        stored_ns += max(0, end_ns - max(start_ns, covered_ns))
        covered_ns = max(covered_ns, end_ns)
    if expected_segments is not None and expected_segments > next_index:
        cause = cause or Cause.TAIL
        missing.extend(range(next_index, min(expected_segments, next_index + MAX_MISSING_LISTED - len(missing))))
    expected_ns = max(covered_ns, ms_to_ns(expected_ms or 0), _failed_until(segments))
    if expected_ns > covered_ns + JOIN_TOLERANCE_NS:
        gaps.append(_gap(covered_ns, expected_ns, cause or Cause.TAIL))
    return Coverage(
        expected_ms=ns_to_ms(expected_ns),
        stored_ms=ns_to_ms(stored_ns),
        gaps=tuple(gaps),
        missing=tuple(missing),
        damaged=tuple(s.index for s in segments if s.media is LaneStatus.DONE and s.error_code == DAMAGED),
    )


def _span(segment: Segment, joint_ns: int) -> tuple[int, int]:
    placed = segment.placed()
    if placed is not None:
        return placed.start_ns, placed.end_ns
    start_ns = joint_ns if segment.start_ms is None else ms_to_ns(segment.start_ms)
    return start_ns, start_ns + ms_to_ns(segment.duration_ms or 0)


def _failed_until(segments: Sequence[Segment]) -> int:
    """Where a failed segment at the very end would have ended, as announced."""
    if not segments or segments[-1].media is not LaneStatus.FAILED:
        return 0
    last = segments[-1]
    return ms_to_ns((last.start_ms or 0) + (last.duration_ms or 0)) if last.start_ms is not None else 0


def _gap(start_ns: int, end_ns: int, cause: Cause) -> Gap:
    return Gap(start_ms=ns_to_ms(start_ns), end_ms=ns_to_ms(end_ns), cause=cause)
