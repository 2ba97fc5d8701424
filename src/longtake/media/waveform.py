"""Peaks for drawing: a signal's extremes in short buckets, small enough to send for a whole day.

A block has exactly `BLOCK_BUCKETS` buckets of `BUCKET_SAMPLES` (25.6 a second at 48 kHz); the last block of a recording
has as many as its samples need. So bucket b of a recording covers samples [b, b + 1) * BUCKET_SAMPLES.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BUCKET_SAMPLES = 1876
BLOCK_BUCKETS = 256

Peaks = NDArray[np.int8]


def peaks(pcm: NDArray[np.float32], *, bucket_samples: int = BUCKET_SAMPLES) -> Peaks:
    """Reduce a signal to one (min, max) pair per bucket, over all channels.

    Args:
        pcm: (channels, n) samples in [-1, 1]; what is louder is cut off.
        bucket_samples: Bucket length; the last bucket may be shorter.

    Returns:
        (ceil(n / bucket_samples), 2) in 1/127; `[:, 0]` is the minimum. Rounded outwards: no peak is lost.

    Source: audiowaveform data format v2 (8 bits),
        https://github.com/bbc/audiowaveform/blob/master/doc/DataFormat.md
    """
    if not pcm.shape[1]:
        return np.zeros((0, 2), np.int8)
    starts = np.arange(0, pcm.shape[1], bucket_samples)
    low = np.minimum.reduceat(pcm, starts, axis=1).min(axis=0)
    high = np.maximum.reduceat(pcm, starts, axis=1).max(axis=0)
    pairs = np.stack([np.floor(low * 127), np.ceil(high * 127)], axis=1)
    clipped: Peaks = np.clip(pairs, -127, 127).astype(np.int8)
    return clipped


def reduce_peaks(pairs: Peaks, points: int) -> Peaks:
    """Join neighbouring buckets until there are `points` pairs; fewer buckets stay as they are.

    Args:
        pairs: (n, 2), as `peaks` returns them.
        points: How many pairs are wanted, at least 1.

    Returns:
        (min(n, points), 2); each pair spans n / points buckets, give or take one.

    Raises:
        ValueError: No point is wanted.
    """
    if points < 1:
        raise ValueError("at least one point")
    if len(pairs) <= points:
        return pairs
    starts = np.arange(points) * len(pairs) // points
    low = np.minimum.reduceat(pairs[:, 0], starts)
    high = np.maximum.reduceat(pairs[:, 1], starts)
    return np.stack([low, high], axis=1)


def peaks_from_bytes(data: bytes) -> Peaks:
    """The pairs that `EncodedBlock.peaks` holds."""
    return np.frombuffer(data, np.int8).reshape(-1, 2)
