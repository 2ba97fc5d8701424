"""Coverage: what is stored and what is missing make up what is expected, and every gap has its cause."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtake.model.coverage import MAX_MISSING_LISTED, Cause, cover_all, coverage, figures
from longtake.model.session import LaneStatus, Segment, SegmentStatus
from longtake.model.timeline import JOIN_TOLERANCE_NS, NS_PER_MS, Place, place_next


def segment(index, *, start_ms=None, duration_ms=None, place=None, samples=None, media=LaneStatus.DONE):
    """A segment as its row says."""
    return Segment(
        id=str(index), track_id="t", index=index, sha256="", size_bytes=1, stored_at_ms=0,
        status=SegmentStatus.COMPLETED, media=media, speech=LaneStatus.DONE, start_ms=start_ms,
        duration_ms=duration_ms, place=place, samples=samples, channels=None if place is None else 1,
    )  # fmt: skip


@st.composite
def recordings(draw):
    """Segments of a track: decoded ones placed as the lane does it, others as announced; some missing, some failed."""
    found = []
    joint = None
    for index in range(draw(st.integers(0, 12))):
        what = draw(st.sampled_from(["decoded", "decoded", "waiting", "failed", "missing"]))
        start_ms = draw(st.none() | st.integers(0, 60_000))
        duration_ms = draw(st.none() | st.integers(0, 5000))
        if what == "decoded":
            place = place_next(joint=joint, start_ms=start_ms, rate_hz=48_000)
            samples = draw(st.integers(1, 300_000))
            joint = place.after(samples)
            found.append(segment(index, start_ms=start_ms, duration_ms=duration_ms, place=place, samples=samples))
        elif what == "waiting":
            found.append(segment(index, start_ms=start_ms, duration_ms=duration_ms, media=LaneStatus.PENDING))
        elif what == "failed":
            found.append(segment(index, start_ms=start_ms, duration_ms=duration_ms, media=LaneStatus.FAILED))
    return found


@given(recordings(), st.none() | st.integers(0, 120_000), st.none() | st.integers(0, 20))
def test_gaps_are_ordered_apart_and_with_what_is_stored_make_up_what_is_expected(segments, expected_ms, expected):
    found = coverage(segments, expected_ms=expected_ms, expected_segments=expected)
    assert all(gap.start_ms < gap.end_ms for gap in found.gaps)
    assert all(a.end_ms <= b.start_ms for a, b in pairwise(found.gaps))
    assert all(gap.end_ms - gap.start_ms >= JOIN_TOLERANCE_NS // NS_PER_MS for gap in found.gaps)
    assert found.expected_ms >= (expected_ms or 0)
    missing_ms = sum(gap.end_ms - gap.start_ms for gap in found.gaps)
    joints = 41 * (len(segments) + 1)  # what lies within the tolerance of a joint is no gap
    assert 0 <= found.expected_ms - found.stored_ms - missing_ms + len(found.gaps) <= joints + len(found.gaps) + 1


@given(recordings(), st.none() | st.integers(0, 120_000), st.none() | st.integers(0, 20))
def test_the_figures_are_those_of_the_whole_coverage(segments, expected_ms, expected):
    whole = coverage(segments, expected_ms=expected_ms, expected_segments=expected)
    found = figures(cover_all(segments), expected_ms=expected_ms, expected_segments=expected)
    assert (found.expected_ms, found.stored_ms) == (whole.expected_ms, whole.stored_ms)
    assert found.gap_count == (len(whole.gaps) or bool(whole.missing)) + len(whole.damaged)
    assert (found.gap_count == 0) == whole.is_whole


@given(recordings(), st.none() | st.integers(0, 20))
def test_the_missing_are_those_that_are_not_there(segments, expected):
    there = {one.index for one in segments}
    until = max([-1, *there]) + 1
    wanted = max(until, expected or 0)
    found = coverage(segments, expected_segments=expected)
    assert list(found.missing) == [index for index in range(wanted) if index not in there]
    assert found.is_whole == (not found.gaps and not found.missing)


def decoded(index, start_ms, duration_ms):
    place = Place(take_start_ns=start_ms * NS_PER_MS, take_offset=0, rate_hz=48_000)
    return segment(index, place=place, samples=48 * duration_ms)


@pytest.mark.parametrize(
    ("segments", "expected", "gaps"),
    [
        ([decoded(0, 0, 1000), decoded(2, 2000, 1000)], {}, [(1000, 2000, Cause.MISSING)]),
        (
            [decoded(0, 0, 1000), segment(1, media=LaneStatus.FAILED), decoded(2, 2000, 1000)],
            {},
            [(1000, 2000, Cause.FAILED)],
        ),
        ([decoded(0, 0, 1000), decoded(1, 2000, 1000)], {}, [(1000, 2000, Cause.NOT_RECORDED)]),
        ([decoded(0, 0, 1000)], {"expected_ms": 3000}, [(1000, 3000, Cause.TAIL)]),
        ([decoded(0, 0, 1000)], {"expected_segments": 2, "expected_ms": 2000}, [(1000, 2000, Cause.TAIL)]),
        ([decoded(0, 0, 1000), decoded(1, 1040, 1000)], {}, []),
        ([decoded(0, 0, 1000), decoded(1, 1041, 1000)], {}, [(1000, 1041, Cause.NOT_RECORDED)]),
        ([decoded(0, 0, 3000), decoded(1, 1000, 1000)], {}, []),
        ([], {"expected_ms": 500}, [(0, 500, Cause.TAIL)]),
        (
            [decoded(0, 0, 1000), segment(1, start_ms=1000, duration_ms=1000, media=LaneStatus.FAILED)],
            {},
            [(1000, 2000, Cause.FAILED)],
        ),
        (
            [decoded(0, 0, 1000), segment(1, duration_ms=1000, media=LaneStatus.FAILED)],
            {"expected_ms": 2000},
            [(1000, 2000, Cause.FAILED)],
        ),
    ],
)
def test_every_gap_has_its_cause(segments, expected, gaps):
    assert [(gap.start_ms, gap.end_ms, gap.cause) for gap in coverage(segments, **expected).gaps] == gaps


def test_what_waits_counts_as_it_was_announced():
    found = coverage([segment(0, start_ms=0, duration_ms=1500, media=LaneStatus.PENDING)])
    assert (found.expected_ms, found.stored_ms, found.is_whole) == (1500, 1500, True)


@pytest.mark.parametrize(
    ("starts", "stored_ms", "gaps"),
    [
        ([0, 10_000, 20_000], 20_000, []),  # of the last one nothing is known yet
        ([0, 60_001], 0, [(0, 60_001, Cause.NOT_RECORDED)]),  # the recorder may have paused
        ([10_000, 0], 0, [(0, 10_000, Cause.NOT_RECORDED)]),
    ],
)
def test_what_waits_without_a_length_reaches_to_the_next(starts, stored_ms, gaps):
    waiting = [segment(n, start_ms=at, media=LaneStatus.PENDING) for n, at in enumerate(starts)]
    found = coverage(waiting)
    assert (found.stored_ms, [(g.start_ms, g.end_ms, g.cause) for g in found.gaps]) == (stored_ms, gaps)


def test_what_waits_behind_a_hole_is_not_missing_itself():
    waiting = [segment(n, start_ms=10_000 * n, media=LaneStatus.PENDING) for n in (0, 1, 3, 4)]
    assert [(g.start_ms, g.end_ms, g.cause) for g in coverage(waiting).gaps] == [(20_000, 30_000, Cause.MISSING)]


def test_a_long_list_of_missing_segments_is_cut():
    assert len(coverage([decoded(5000, 0, 10)]).missing) == MAX_MISSING_LISTED
    assert len(coverage([decoded(900, 0, 10)], expected_segments=5000).missing) == MAX_MISSING_LISTED


def test_a_damaged_segment_makes_the_whole_a_part():
    damaged = replace(segment(0, start_ms=0, duration_ms=2000), error_code="media_damaged")
    found = coverage([damaged, segment(1, start_ms=2000, duration_ms=2000)])
    assert (found.gaps, found.damaged, found.is_whole) == ((), (0,), False)
