"""Cuts a track into utterances across segment borders: a pure function of the track's samples.

Speech probabilities are computed on windows of a fixed grid, each with the two seconds before it and a fresh state, so
that a value depends on its surroundings only and never on where work was resumed. Windows of digital silence (pauses,
gaps) cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from longtake.speech.vad import FRAME, Utterance, off_point_before, utterances

WINDOW = 320 * FRAME
"""Samples of a window: 10.24 s. An utterance is found at most this long after it ended."""

CONTEXT = 64 * FRAME
"""Samples before a window that the detector hears first: 2.05 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """An utterance on the track's timeline, in samples at 16 kHz; `end` is the first after it."""

    start: int
    end: int


class Cutter:
    """Finds the utterances of one track.

    Args:
        read: `read(from_sample, to_sample)` gives that stretch of the track, mono at 16 kHz, gaps as zeros.
        probabilities: (n × FRAME,) samples to (n,) speech probabilities, with a fresh state at each call.
    """

    def __init__(
        self,
        read: Callable[[int, int], NDArray[np.int16]],
        probabilities: Callable[[NDArray[np.int16]], NDArray[np.float32]],
    ) -> None:
        self._read = read
        self._probabilities = probabilities

    def cut(self, from_sample: int, known_until_sample: int, is_final: bool) -> tuple[list[Cut], int]:
        """Find the utterances that are decided by what is known of the track.

        Args:
            from_sample: 0, or a cursor that `cut` or `rewind` returned.
            known_until_sample: The track is known up to here (exclusive).
            is_final: The track ends here: its tail is cut too.

        Returns:
            The utterances between the two, and the cursor to go on from. However the track grows and wherever work
            resumes, the utterances together are those of one call over the whole track.
        """
        first = from_sample // WINDOW
        behind = -(-known_until_sample // WINDOW) if is_final else known_until_sample // WINDOW
        if behind <= first:
            return [], from_sample
        rated = [self._window(number, known_until_sample) for number in range(first, behind)]
        frames = -(-known_until_sample // FRAME) - first * WINDOW // FRAME  # those after the end of the track are none
        found, point = utterances(
            np.concatenate([p for p, _ in rated])[:frames],
            np.concatenate([loudness for _, loudness in rated])[:frames],
            first=first * WINDOW // FRAME,
            floor=from_sample // FRAME,
            is_final=is_final,
        )
        cuts = [Cut(start=u.start * FRAME, end=min(u.end * FRAME, known_until_sample)) for u in found]
        return cuts, point * FRAME

    def rewind(self, cuts: Sequence[Cut], changed_from_sample: int) -> int:
        """The cursor to resume from when the track's samples have changed, or more follow what was final.

        Args:
            cuts: All that were found so far, in order.
            changed_from_sample: The first sample that may differ.

        Returns:
            A cursor; resume from the smaller of it and the cursor that `cut` last returned. Cuts that end at or before
            that stay; all others are to be forgotten and found again.
        """
        so_far = [Utterance(start=c.start // FRAME, end=-(-c.end // FRAME)) for c in cuts]
        return off_point_before(so_far, changed_from_sample // WINDOW * WINDOW // FRAME) * FRAME

    def _window(self, number: int, known_until: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Speech probability and mean square of each frame of a window; what is not known is silent."""
        start, end = number * WINDOW, min((number + 1) * WINDOW, known_until)
        pcm = np.zeros(CONTEXT + WINDOW, np.int16)
        pcm[CONTEXT : CONTEXT + end - start] = self._read(start, end)
        frames = pcm[CONTEXT:].reshape(-1, FRAME)
        if not frames.any():
            return np.zeros(len(frames), np.float32), np.zeros(len(frames), np.float32)
        before = max(0, start - CONTEXT)
        pcm[CONTEXT - (start - before) : CONTEXT] = self._read(before, start)
        loudness = np.square(frames, dtype=np.float32).mean(axis=1)
        return self._probabilities(pcm)[CONTEXT // FRAME :], loudness
