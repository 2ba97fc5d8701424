"""From speech probabilities to utterances: pure, causal, and resumable wherever nobody speaks.

A frame is 32 ms of a track, counted from its start. Speech begins where the probability reaches `ON` and ends once it
stayed below `OFF` for `HANG` frames. Every decision rests on frames before the moment it is made, and what comes after
an *off-point* (a frame at which nobody speaks and which no utterance reaches) does not depend on what came before it:
resuming there gives the very utterances that one run over everything gives.

Belongs here: the rule. Does not: where probabilities come from (`silero`), samples and windows (`cutter`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FRAME = 512
"""Samples of a frame at 16 kHz: 32 ms, what the detector takes."""

ON = 0.5
OFF = 0.35
HANG = 16
"""Frames below `OFF` that end an utterance: 0.5 s."""

LEAST = 5
"""Frames an utterance has from its first to its last speech, at least: 0.16 s."""

PAD = 5
"""Frames kept before and after: 0.16 s. Less than half of `HANG`, so that utterances never overlap."""

LONGEST = 875
"""Frames of an utterance with its pads, at most: 28 s, what Whisper takes at once."""

REACH = LONGEST - 2 * PAD
"""Frames after its first speech at which an utterance is cut by force."""

SMOOTHING = 7
"""Frames (0.22 s) over which loudness is averaged when the quietest moment is sought: a pause, not a stop consonant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """A stretch of speech, in frames; `end` is the first after it."""

    start: int
    end: int


def utterances(
    probabilities: NDArray[np.float32], loudness: NDArray[np.float32], *, first: int, floor: int, is_final: bool
) -> tuple[list[Utterance], int]:
    """Find the utterances in a stretch of frames that begins at an off-point.

    Args:
        probabilities: (n,) of speech, for frames `first`, `first + 1`, ….
        loudness: (n,) mean squares of the same frames; only their order counts.
        first: Number of the first frame given.
        floor: The off-point to begin at, `first` ≤ `floor`: no utterance reaches before it.
        is_final: Nothing follows: an utterance that is still going on ends here.

    Returns:
        The utterances that are decided, in order, and the off-point to go on from. No utterance returned later begins
        before it.
    """
    found: list[Utterance] = []
    values = probabilities.tolist()
    end = first + len(values)
    speech = [first + int(i) for i in np.flatnonzero(probabilities >= ON)]
    cursor, at, next_speech = floor, floor, 0
    while True:
        while next_speech < len(speech) and speech[next_speech] < at:
            next_speech += 1
        if next_speech == len(speech):
            return found, end if is_final else max(cursor, end - PAD)
        begun = speech[next_speech]
        start = max(cursor, begun - PAD)
        last, at = begun, begun + 1
        while at < end and at - last <= HANG and at - begun < REACH:
            if values[at - first] >= OFF:
                last = at
            at += 1
        if at - last <= HANG and at - begun == REACH:
            cursor = at = quietest(loudness[begun + REACH // 2 - first : begun + REACH - first], begun + REACH // 2)
            found.append(Utterance(start=start, end=cursor))
        elif at - last <= HANG and not is_final:
            return found, start
        elif last + 1 - begun >= LEAST:
            cursor = min(last + 1 + PAD, end)
            found.append(Utterance(start=start, end=cursor))


def quietest(loudness: NDArray[np.float32], first: int) -> int:
    """The frame in the middle of the quietest `SMOOTHING` frames; the earliest of equals."""
    smooth = np.lib.stride_tricks.sliding_window_view(loudness, SMOOTHING).mean(axis=1)
    return first + int(np.argmin(smooth)) + SMOOTHING // 2


def decided_at(utterance: Utterance) -> int:
    """The frame from which on the sound cannot change an utterance any more (at the latest)."""
    is_perhaps_forced = utterance.end - utterance.start >= REACH // 2
    return (utterance.start + LONGEST if is_perhaps_forced else utterance.end) + HANG


def off_point_before(utterances_so_far: list[Utterance], changed: int) -> int:
    """The off-point to begin again from when frames from `changed` on have changed.

    Args:
        utterances_so_far: All that were decided, in order.
        changed: The first frame that may differ, not behind the last off-point returned.

    Returns:
        An off-point: utterances that end at or before it stay, all others are to be forgotten.
    """
    safe = max(0, changed - HANG - LEAST - PAD)
    point = safe
    for utterance in reversed(utterances_so_far):
        if utterance.end + LONGEST + HANG < safe:
            break
        if decided_at(utterance) > safe:
            point = min(point, utterance.start)
    return point
