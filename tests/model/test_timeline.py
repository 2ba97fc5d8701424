"""Media time: exact conversions, joints that never drift, takes that begin where they must."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtake.model.timeline import (
    JOIN_TOLERANCE_NS,
    NS_PER_MS,
    NS_PER_S,
    Place,
    Placed,
    ms_to_ns,
    ns_to_ms,
    ns_to_samples,
    place_next,
    rescale,
    samples_to_ms,
    samples_to_ns,
)

RATES = st.sampled_from([8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000])
SAMPLES = st.integers(0, 12 * 3600 * 192_000)
TWELVE_HOURS_NS = 12 * 3600 * NS_PER_S


@given(SAMPLES, RATES)
def test_a_sample_is_found_again_by_its_moment(samples, rate_hz):
    assert ns_to_samples(samples_to_ns(samples, rate_hz), rate_hz) == samples


@given(SAMPLES, RATES)
def test_a_stretch_in_milliseconds_leaves_no_sample_out(samples, rate_hz):
    before_ms, behind_ms = samples_to_ms(samples, rate_hz), rescale(samples, rate_hz, 1000)
    assert behind_ms - before_ms <= 1
    assert ms_to_ns(before_ms) <= samples_to_ns(samples, rate_hz) <= ms_to_ns(behind_ms)


@given(st.integers(0, 2**45))
def test_milliseconds_are_exact_in_nanoseconds(ms):
    assert ns_to_ms(ms_to_ns(ms)) == ms


@given(st.integers(0, TWELVE_HOURS_NS))
def test_a_moment_is_told_in_the_nearest_millisecond(ns):
    assert abs(ns - ms_to_ns(ns_to_ms(ns))) <= NS_PER_MS // 2


@given(SAMPLES, RATES, RATES)
def test_a_stretch_at_another_rate_loses_no_sound_and_gains_less_than_a_sample(samples, from_hz, to_hz):
    assert 0 <= rescale(samples, from_hz, to_hz) * from_hz - samples * to_hz < from_hz


@given(RATES, st.lists(st.integers(1, 60 * 48_000), min_size=1, max_size=200), st.booleans())
def test_joints_are_exact_to_the_sample_however_many_there_are(rate_hz, lengths, says_start):
    joint: Place | None = None
    total = 0
    for length in lengths:
        start_ms = ns_to_ms(samples_to_ns(total, rate_hz)) if says_start else None
        place = place_next(joint=joint, start_ms=start_ms, rate_hz=rate_hz)
        assert (place.take_start_ns, place.take_offset) == (0, total)
        assert place.at_ns(0) == samples_to_ns(total, rate_hz)
        total += length
        joint = place.after(length)
    assert joint is not None
    assert joint.take_offset == total


def test_milliseconds_alone_would_drift_at_44100():
    length, rate_hz = 441_001, 44_100
    segments = 4320
    by_ms = sum(ns_to_ms(samples_to_ns(length, rate_hz)) for _ in range(segments))
    joint: Place | None = None
    for _ in range(segments):
        joint = place_next(joint=joint, start_ms=None, rate_hz=rate_hz).after(length)
    assert joint is not None
    assert joint.at_ns(0) == samples_to_ns(length * segments, rate_hz)
    assert ms_to_ns(by_ms) != joint.at_ns(0)


@given(
    RATES, st.integers(0, 10**9), st.integers(-5 * JOIN_TOLERANCE_NS // NS_PER_MS, 5 * JOIN_TOLERANCE_NS // NS_PER_MS)
)
def test_a_take_begins_where_the_announced_start_differs_by_more_than_the_tolerance(rate_hz, offset, off_ms):
    joint = Place(take_start_ns=7 * NS_PER_S, take_offset=offset, rate_hz=rate_hz)
    start_ms = ns_to_ms(joint.at_ns(0)) + off_ms
    place = place_next(joint=joint, start_ms=start_ms, rate_hz=rate_hz)
    if abs(ms_to_ns(start_ms) - joint.at_ns(0)) > JOIN_TOLERANCE_NS:
        assert place == Place(take_start_ns=ms_to_ns(start_ms), take_offset=0, rate_hz=rate_hz)
    else:
        assert place == joint


@pytest.mark.parametrize(("off_ms", "is_new"), [(-41, True), (-40, False), (0, False), (40, False), (41, True)])
def test_forty_milliseconds_are_still_a_joint(off_ms, is_new):
    joint = Place(take_start_ns=0, take_offset=48_000, rate_hz=48_000)
    assert (place_next(joint=joint, start_ms=1000 + off_ms, rate_hz=48_000) != joint) == is_new


def test_another_rate_begins_a_take_at_the_joint():
    joint = Place(take_start_ns=0, take_offset=48_000, rate_hz=48_000)
    place = place_next(joint=joint, start_ms=1010, rate_hz=44_100)
    assert place == Place(take_start_ns=NS_PER_S, take_offset=0, rate_hz=44_100)


def test_the_first_segment_lies_where_it_says_else_at_the_start():
    assert place_next(joint=None, start_ms=1234, rate_hz=8000).take_start_ns == ms_to_ns(1234)
    assert place_next(joint=None, start_ms=None, rate_hz=8000).take_start_ns == 0


def test_a_gap_and_an_overlap_begin_takes_and_what_follows_joins_them():
    placed: list[Placed] = []
    joint = None
    for start_ms in (0, 2000, 7000, None, 8000):
        place = place_next(joint=joint, start_ms=start_ms, rate_hz=48_000)
        placed.append(Placed(index=len(placed), sha256="", place=place, samples=96_000, channels=1))
        joint = place.after(96_000)
    assert [one.start_ns // NS_PER_MS for one in placed] == [0, 2000, 7000, 9000, 8000]
    assert [one.end_ns - one.start_ns for one in placed] == [2 * NS_PER_S] * 5
    assert [a.place.take_start_ns == b.place.take_start_ns for a, b in pairwise(placed)] == [True, False, True, False]
