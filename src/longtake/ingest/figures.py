"""How segments are doing, counted as they are stored: a few additions for each, in one thread."""

from __future__ import annotations

from bisect import bisect_left

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper ends of the buckets of the latency; what took longer comes behind the last."""


class Figures:
    """Since the start. Written by the committer alone, read by anybody."""

    def __init__(self) -> None:
        self.segments = 0
        """Stored."""
        self.size_bytes = 0
        self.repeated = 0
        """Sent again although they were stored."""
        self.batches = 0
        """Transactions: segments share them."""
        self.latency = [0] * (len(BUCKETS_S) + 1)
        """From the last byte of a body to its answer, whatever that was."""
        self.latency_sum_s = 0.0

    def took(self, seconds: float) -> None:
        """One body was answered."""
        self.latency[bisect_left(BUCKETS_S, seconds)] += 1
        self.latency_sum_s += seconds
