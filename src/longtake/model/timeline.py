"""Media time: integers on one axis per session, pauses excluded, gaps kept.

Inside a take, consecutive segments join by their decoded sample count; a segment's announced `start_ms` places only
the first of a take, and a difference above `JOIN_TOLERANCE_NS` starts a new one. (Integer milliseconds alone would
shift 98 % of the joints at 44.1 kHz.) Nothing else in longtake converts between samples and time.

Belongs here: places, conversions, takes. Does not: what is missing (`coverage`), PCM (`media.timeline_pcm`).
"""

from __future__ import annotations

from dataclasses import dataclass

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
RATE_HZ = 48_000
"""Sample rate of everything derived: one grid for all tracks and the mix."""

JOIN_TOLERANCE_NS = 40 * NS_PER_MS


def ms_to_ns(ms: int) -> int:
    """Milliseconds to nanoseconds."""
    return ms * NS_PER_MS


def ns_to_ms(ns: int) -> int:
    """Nanoseconds to the nearest millisecond (halves up)."""
    return (ns + NS_PER_MS // 2) // NS_PER_MS


def samples_to_ns(samples: int, rate_hz: int) -> int:
    """Where sample number `samples` lies, rounded down to a nanosecond."""
    return samples * NS_PER_S // rate_hz


def samples_to_ms(samples: int, rate_hz: int) -> int:
    """The same, rounded down to a millisecond; `rescale` to 1000 Hz rounds up."""
    return samples * 1000 // rate_hz


def ns_to_samples(ns: int, rate_hz: int) -> int:
    """The sample nearest to a moment (halves up)."""
    return (ns * rate_hz + NS_PER_S // 2) // NS_PER_S


def rescale(samples: int, from_hz: int, to_hz: int) -> int:
    """How many samples a stretch has at another rate, rounded up: no sound is cut off."""
    return -(-samples * to_hz // from_hz)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a segment's samples lie: `take_offset` samples of `rate_hz` after the start of its take.

    All segments of a take have one rate, so that positions inside it are exact at that rate.
    """

    take_start_ns: int
    take_offset: int
    rate_hz: int

    def at_ns(self, sample: int) -> int:
        """The moment of a sample of the segment (0 is its first)."""
        return self.take_start_ns + samples_to_ns(self.take_offset + sample, self.rate_hz)

    def after(self, samples: int) -> Place:
        """The place right behind the segment: where the next one joins."""
        return Place(take_start_ns=self.take_start_ns, take_offset=self.take_offset + samples, rate_hz=self.rate_hz)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A decoded segment on its track's timeline. `samples` are per channel, at `place.rate_hz`."""

    index: int
    sha256: str
    place: Place
    samples: int
    channels: int

    @property
    def start_ns(self) -> int:
        return self.place.at_ns(0)

    @property
    def end_ns(self) -> int:
        return self.place.at_ns(self.samples)


def place_next(*, joint: Place | None, start_ms: int | None, rate_hz: int) -> Place:
    """Place a segment behind what came before it on its track.

    Args:
        joint: The place right behind the previous segment; None for the first of a track.
        start_ms: Where the recorder says it starts, on the session's media timeline; None joins.
        rate_hz: The segment's own sample rate.

    Returns:
        A place in the same take, or the start of a new one: when the announced start differs from the joint by more
        than `JOIN_TOLERANCE_NS`, or the rate changed.
    """
    if joint is None:
        return Place(take_start_ns=ms_to_ns(start_ms or 0), take_offset=0, rate_hz=rate_hz)
    joint_ns = joint.at_ns(0)
    announced_ns = joint_ns if start_ms is None else ms_to_ns(start_ms)
    if abs(announced_ns - joint_ns) > JOIN_TOLERANCE_NS:
        return Place(take_start_ns=announced_ns, take_offset=0, rate_hz=rate_hz)
    if rate_hz != joint.rate_hz:
        return Place(take_start_ns=joint_ns, take_offset=0, rate_hz=rate_hz)
    return joint
