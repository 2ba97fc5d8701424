"""Peaks lose no extreme, in blocks as in the whole, and shrink to any number of points."""

import numpy as np
import pytest

from longtake.media.blocks import BLOCK_SAMPLES
from longtake.media.waveform import BLOCK_BUCKETS, BUCKET_SAMPLES, peaks, peaks_from_bytes, reduce_peaks
from tests.media.synth import tone


def test_a_block_has_a_whole_number_of_buckets():
    assert BLOCK_BUCKETS * BUCKET_SAMPLES == BLOCK_SAMPLES
    assert peaks(tone(BLOCK_SAMPLES)).shape == (BLOCK_BUCKETS, 2)


def test_each_bucket_holds_its_extremes_over_all_channels():
    pcm = np.zeros((2, 10), np.float32)
    pcm[0, 1], pcm[1, 2], pcm[0, 9] = 0.5, -1.0, 7.0
    assert peaks(pcm, bucket_samples=4).tolist() == [[-127, 64], [0, 0], [0, 127]]


def test_the_faintest_sound_is_visible():
    assert peaks(np.full((1, 1), 1e-4, np.float32)).tolist() == [[0, 1]]


def test_no_sound_has_no_peaks():
    assert peaks(np.zeros((2, 0), np.float32)).shape == (0, 2)
    assert peaks_from_bytes(b"").shape == (0, 2)


@pytest.mark.parametrize("points", [1, 7, 100, 999, 1000])
def test_reducing_keeps_the_extremes(points):
    pairs = peaks(tone(1000 * 10), bucket_samples=10)
    reduced = reduce_peaks(pairs, points)
    assert reduced.shape == (points, 2)
    assert (reduced[:, 0].min(), reduced[:, 1].max()) == (pairs[:, 0].min(), pairs[:, 1].max())
    edges = [i * 1000 // points for i in range(points + 1)]
    assert reduced[0, 0] == pairs[: edges[1], 0].min()
    assert reduced[-1, 1] == pairs[edges[-2] :, 1].max()


def test_fewer_buckets_than_points_stay_as_they_are():
    pairs = peaks(tone(100), bucket_samples=10)
    assert np.array_equal(reduce_peaks(pairs, 500), pairs)
    with pytest.raises(ValueError, match="one point"):
        reduce_peaks(pairs, 0)


def test_bytes_and_back():
    pairs = peaks(tone(50_000))
    assert np.array_equal(peaks_from_bytes(pairs.tobytes()), pairs)
