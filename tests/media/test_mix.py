"""The mix follows the balance without clicks, never clips hard, and leaves a single track as it is."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtake.media.mix import Mix, TrackRole, soft_limit
from longtake.model.timeline import NS_PER_MS
from tests.media.synth import tone

MICROPHONE, SYSTEM = TrackRole.MICROPHONE, TrackRole.SYSTEM


class Signal:
    """An array that reads like a track."""

    rate_hz = 48_000

    def __init__(self, pcm):
        self.pcm, self.channels = pcm, len(pcm)

    def read(self, from_sample, to_sample):
        part = self.pcm[:, from_sample:to_sample]
        return np.pad(part, ((0, 0), (0, to_sample - from_sample - part.shape[1])))


A, B = Signal(tone(48_000, seed=1)), Signal(tone(40_000, seed=2))


def constant(value, samples=48_000):
    return Signal(np.full((1, samples), value, np.float32))


def test_a_single_track_passes_through_unchanged():
    loud = Signal(3 * A.pcm)
    assert np.array_equal(Mix([(loud, MICROPHONE)], []).read(0, 48_000), loud.pcm)


def test_two_tracks_are_added_and_the_longer_one_counts():
    mix = Mix([(A, MICROPHONE), (B, SYSTEM)], [(0, 0.5)])
    assert np.array_equal(mix.read(0, 40_000), A.pcm[:, :40_000] + B.pcm)
    assert np.array_equal(mix.read(40_000, 48_000), A.pcm[:, 40_000:])


@pytest.mark.parametrize(
    ("balance", "microphone", "system"), [(0, 1, 0), (0.25, 1, 0.5), (0.5, 1, 1), (0.75, 0.5, 1), (1, 0, 1)]
)
def test_the_balance_sets_the_gains(balance, microphone, system):
    mix = Mix([(constant(0.25), MICROPHONE), (constant(0.125), SYSTEM)], [(0, balance)])
    assert np.allclose(mix.read(100, 200), 0.25 * microphone + 0.125 * system, atol=1e-7)


def test_a_change_of_balance_takes_ten_milliseconds():
    mix = Mix([(constant(0.5), MICROPHONE)], [(100 * NS_PER_MS, 1.0)])
    heard = mix.read(0, 48_000)[0]
    assert (heard[:4800] == 0.5).all()
    assert (heard[5280:] == 0).all()
    assert np.abs(np.diff(heard)).max() <= 0.5 / 480 * 1.01


def test_a_change_within_a_change_begins_where_that_one_was():
    mix = Mix([(constant(0.5), MICROPHONE)], [(100 * NS_PER_MS, 1.0), (105 * NS_PER_MS, 0.0)])
    heard = mix.read(0, 48_000)[0]
    assert heard[5040] == pytest.approx(0.25, abs=0.002)
    assert heard[5520] == 0.5
    assert np.abs(np.diff(heard)).max() <= 0.5 / 480 * 1.01


@given(st.lists(st.integers(0, 48_000), max_size=6))
def test_ranges_make_no_difference(cuts):
    mix = Mix([(A, MICROPHONE), (B, SYSTEM)], [(0, 0.2), (300 * NS_PER_MS, 0.9), (303 * NS_PER_MS, 0.4)])
    edges = [0, *sorted(cuts), 48_000]
    parts = [mix.read(a, b) for a, b in pairwise(edges)]
    assert np.array_equal(np.concatenate(parts, axis=1), mix.read(0, 48_000))


def test_too_loud_a_sum_is_bent_and_not_clipped():
    ramp = np.linspace(-3, 3, 10_001, dtype=np.float32)[None]
    bent = soft_limit(ramp)
    quiet = np.abs(ramp) <= 0.9
    assert np.array_equal(bent[quiet], ramp[quiet])
    assert np.abs(bent).max() <= 1
    assert (np.diff(bent[0]) >= 0).all()
    assert np.array_equal(Mix([(Signal(ramp), MICROPHONE), (Signal(0 * ramp), SYSTEM)], []).read(0, 10_001), bent)


def test_all_kinds_but_system_are_on_the_microphones_side():
    assert TrackRole.of("system") is SYSTEM
    assert {TrackRole.of(kind) for kind in ("microphone", "upload", "camera", "screen")} == {MICROPHONE}


def test_tracks_that_differ_or_none_cannot_be_mixed():
    with pytest.raises(ValueError, match="one rate"):
        Mix([(A, MICROPHONE), (constant(0), SYSTEM)], [])
    with pytest.raises(ValueError, match="one rate"):
        Mix([], [])
