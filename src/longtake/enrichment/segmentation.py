"""Where one subject ends and the next begins: the best division of a talk, found exactly.

A division's worth is the sum over its parts of how much their texts have in common, less a price for each part. With
sums of vectors prepared, dynamic programming over all pairs finds the best in O(n²); texts are joined in equal groups
first where there are more than `UNITS`. What people say in a row has few words in common, so that each word first
stands for the company it keeps (on made talks that brings Pk from .29 to .13).

Source: the objective follows Utiyama and Isahara (ACL 2001), with TF-IDF cosines for their language model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from longtake.enrichment.words import of_length_1, total, vectors

UNITS = 400
"""Texts that are compared, at most."""

PRICE = 3.0
"""Price of a part; a part of n texts is worth 1 when they have nothing in common, n when they are the same."""

COMPANY = 4
"""Texts on either side whose words keep a word company, less and less."""


def divide(bags: Sequence[Counter[str]], starts_ms: Sequence[int], *, end_ms: int, least_ms: int) -> list[int]:
    """Divide a talk into parts.

    Args:
        bags: The words of each text, in order.
        starts_ms: When each begins.
        end_ms: When the last one ends.
        least_ms: Length of a part, at least.

    Returns:
        The index of each part's first text; the first is 0. Empty where there is no text.
    """
    if not bags:
        return []
    group = -(-len(bags) // UNITS)
    firsts = list(range(0, len(bags), group))
    units = [total(bags[first : first + group]) for first in firsts]
    size = len(units)
    plain = vectors(units)
    told = plain @ of_length_1(plain.T @ _neighbourhood(plain))
    centred = of_length_1(told - told.mean(axis=0))
    sums = np.vstack([np.zeros((1, centred.shape[1])), np.cumsum(centred, axis=0)])
    products = sums @ sums.T
    squares = np.diag(products)
    lengths = np.arange(size + 1)[None, :] - np.arange(size + 1)[:, None]
    worth = (squares[:, None] + squares[None, :] - 2 * products) / np.maximum(lengths, 1)
    worth -= PRICE
    times = np.array([*(starts_ms[first] for first in firsts), max(end_ms, starts_ms[-1])])
    worth[(times[None, :] - times[:, None] < least_ms) | (lengths < 1)] = -np.inf
    worth[0, size] = max(worth[0, size], -1e9)  # one part is always possible

    best = np.full(size + 1, -np.inf)
    best[0] = 0.0
    came_from = np.zeros(size + 1, np.int64)
    for end in range(1, size + 1):
        candidates = best[:end] + worth[:end, end]
        came_from[end] = int(np.argmax(candidates))
        best[end] = candidates[came_from[end]]
    parts: list[int] = []
    at = size
    while at > 0:
        at = int(came_from[at])
        parts.append(firsts[at])
    return parts[::-1]


def _neighbourhood(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each row with those around it, the nearer the heavier."""
    blurred = rows.copy()
    for distance in range(1, min(COMPANY + 1, len(rows))):
        weight = 1 - distance / (COMPANY + 1)
        blurred[distance:] += weight * rows[:-distance]
        blurred[:-distance] += weight * rows[distance:]
    return blurred
