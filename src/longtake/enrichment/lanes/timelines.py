"""Where the decoded segments of a track lie, kept in memory while its lanes work; made from rows when first asked.

Belongs here: placing segments, what a stretch of a track is made from. Does not: decoding (`media`), rows (`storage`).
"""

from __future__ import annotations

import hashlib
import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from weakref import WeakValueDictionary

from longtake.media.blocks import block_of
from longtake.media.timeline_pcm import CONTEXT_NS
from longtake.model.session import LaneStatus, Segment
from longtake.model.timeline import (
    NS_PER_MS,
    NS_PER_S,
    RATE_HZ,
    Place,
    Placed,
    ms_to_ns,
    ns_to_ms,
    ns_to_samples,
    place_next,
    rescale,
    samples_to_ns,
)
from longtake.storage.catalog import segments
from longtake.storage.store import Store

TRACKS_KEPT = 256
MAX_HOLE_NS = 3600 * NS_PER_S
"""The longest room that is kept for segments of which nobody said when they were."""
TOUCH_MARGIN_NS = NS_PER_S
"""How far before a change a block may hear it: more than the encoder's run-out and the resampler's reach."""
HEARD_NS = CONTEXT_NS - NS_PER_MS
"""How far around a stretch its sound is a function of the track; below what is known of it when it is decided."""


@dataclass(frozen=True, slots=True)
class Known:
    """A decoded segment and what its recorder announced of its start."""

    placed: Placed
    start_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a change of one segment did: the sound may differ from `from_ns` on, and later segments moved with it."""

    from_ns: int
    moved: list[Placed]


class Timeline:
    """The decoded segments of one track, by index. Thread-safe."""

    def __init__(self, rows: Sequence[Segment]) -> None:
        self._lock = threading.Lock()
        self._known = [
            Known(placed, row.start_ms)
            for row in rows
            if row.media is not LaneStatus.FAILED and (placed := row.placed()) is not None
        ]
        self._lost = {row.index: row.duration_ms for row in rows if row.media is LaneStatus.FAILED}
        self._is_ordered = _are_ordered(self._known)
        self._stereo = sum(known.placed.channels > 1 for known in self._known)
        self._checked: dict[str, tuple[object, int]] = {}
        self._version = 0

    def around(self, from_ns: int, to_ns: int) -> list[Placed]:
        """The segments that touch a stretch, by index, with a second on either side."""
        low, high = from_ns - NS_PER_S, to_ns + NS_PER_S
        found = []
        with self._lock:
            first = bisect_right(self._known, low, key=_end_ns) if self._is_ordered else 0
            for known in islice(self._known, first, None):
                if known.placed.start_ns < high and known.placed.end_ns > low:
                    found.append(known.placed)
                elif self._is_ordered and known.placed.start_ns >= high:
                    break
        return found

    def index_behind(self, to_ns: int) -> int:
        """The first index from which on no segment begins before a moment."""
        with self._lock:
            if self._is_ordered:
                behind = bisect_left(self._known, to_ns, key=_start_ns)
                return self._known[behind - 1].placed.index + 1 if behind else 0
            return max((one.placed.index + 1 for one in self._known if one.placed.start_ns < to_ns), default=0)

    def fingerprint(self, from_ns: int, to_ns: int) -> str:
        """Digest of everything that the sound of a stretch is a function of.

        Of a segment that reaches beyond it only the part that is heard counts, so that growing changes nothing.
        """
        digest = hashlib.sha256()
        until_ns = to_ns + HEARD_NS
        for one in self.around(from_ns, to_ns):
            if one.start_ns < until_ns and one.end_ns > from_ns - HEARD_NS:
                at = one.place
                heard = min(one.samples, ns_to_samples(until_ns - one.start_ns, at.rate_hz))
                digest.update(f"{one.sha256} {at.take_start_ns} {at.take_offset} {at.rate_hz} {heard}\n".encode())
        return digest.hexdigest()

    @property
    def length_samples(self) -> int:
        """Where the last sound ends, in samples at 48 kHz; as `TrackPcm` counts it."""
        with self._lock:
            ends = self._known[-1:] if self._is_ordered else self._known
            return max((_end_sample(known.placed) for known in ends), default=0)

    @property
    def length_ns(self) -> int:
        """The same as a moment; `ns_to_samples` gives the exact number of samples back."""
        return samples_to_ns(self.length_samples, RATE_HZ)

    @property
    def channels(self) -> int:
        """The most that any segment has."""
        with self._lock:
            return 2 if self._stereo else 1

    @property
    def version(self) -> int:
        """Rises with every change."""
        with self._lock:
            return self._version

    def checked(self, owner_id: str, settings: object) -> int:
        """How many blocks of a track or mix were found up to date, under these settings, and not touched since."""
        with self._lock:
            known, count = self._checked.get(owner_id, (None, 0))
            return count if known == settings else 0

    def note_checked(self, owner_id: str, settings: object, count: int, version: int) -> None:
        """Note that the first blocks of a track or mix are up to date with a version; later changes take it back."""
        with self._lock:
            if version == self._version:
                self._checked[owner_id] = (settings, count)

    def place(self, segment: Segment, rate_hz: int) -> Place:
        """Where a segment belongs, from what lies before it: a pure function of the ordered track."""
        with self._lock:
            at = self._position(segment.index)
            return self._place(at, segment.index, segment.start_ms, rate_hz)

    def put(self, placed: Placed, start_ms: int | None) -> Change:
        """Add a segment or replace it (it may have grown)."""
        with self._lock:
            self._lost.pop(placed.index, None)
            at = self._position(placed.index)
            changed_ns = placed.start_ns
            if at < len(self._known) and (old := self._known[at].placed).index == placed.index:
                if old.sha256 == placed.sha256 and old.place == placed.place:
                    changed_ns = min(old.end_ns, placed.end_ns)  # it has only grown
                self._stereo -= old.channels > 1
                self._known[at] = Known(placed, start_ms)
            else:
                self._known.insert(at, Known(placed, start_ms))
            self._stereo += placed.channels > 1
            return self._change(at + 1, changed_ns)

    def lose(self, segment: Segment) -> Change:
        """Note that a segment cannot be decoded."""
        with self._lock:
            self._lost[segment.index] = segment.duration_ms
            at = self._position(segment.index)
            changed_ns = self._known[at - 1].placed.end_ns if at else 0
            if at < len(self._known) and self._known[at].placed.index == segment.index:
                lost = self._known.pop(at).placed
                self._stereo -= lost.channels > 1
                changed_ns = min(changed_ns, lost.start_ns)
            return self._change(at, changed_ns)

    def _position(self, index: int) -> int:
        return bisect_left(self._known, index, key=lambda known: known.placed.index)

    def _settle(self, at: int) -> list[Placed]:
        """Place the segments from a position on anew until one stays where it was."""
        moved = []
        while at < len(self._known):
            known = self._known[at]
            place = self._place(at, known.placed.index, known.start_ms, known.placed.place.rate_hz)
            if place == known.placed.place:
                break
            self._known[at] = replace(known, placed=replace(known.placed, place=place))
            moved.append(self._known[at].placed)
            at += 1
        return moved

    def _change(self, at: int, changed_ns: int) -> Change:
        """The sound has changed from a moment on, which lies before position `at`: what follows from it."""
        moved = self._settle(at)
        nearby = self._known[max(0, at - 2) : at + len(moved) + 1]
        self._is_ordered &= _are_ordered(nearby)
        changed_ns = min([changed_ns, *(placed.start_ns for placed in moved)])
        block = block_of(ns_to_samples(max(0, changed_ns - TOUCH_MARGIN_NS), RATE_HZ))
        self._version += 1
        self._checked = {owner: (known, min(count, block)) for owner, (known, count) in self._checked.items()}
        return Change(from_ns=changed_ns, moved=moved)

    def _place(self, at: int, index: int, start_ms: int | None, rate_hz: int) -> Place:
        before = self._known[at - 1].placed if at else None
        if start_ms is None:
            first, nominal_ns = (0, 0) if before is None else (before.index + 1, before.end_ns - before.start_ns)
            hole_ns = min(self._hole_ns(first, index, nominal_ns), MAX_HOLE_NS)
            if hole_ns:  # what is missing keeps its room: as announced, else as long as the segment before it
                start_ms = ns_to_ms((0 if before is None else before.end_ns) + hole_ns)
        joint = None if before is None else before.place.after(before.samples)
        return place_next(joint=joint, start_ms=start_ms, rate_hz=rate_hz)

    def _hole_ns(self, first: int, behind: int, nominal_ns: int) -> int:
        """How long what is missing between two indexes lasted."""
        lost = [duration_ms for index, duration_ms in self._lost.items() if first <= index < behind]
        announced = [ms_to_ns(duration_ms) for duration_ms in lost if duration_ms is not None]
        return sum(announced) + (behind - first - len(announced)) * nominal_ns


class Timelines:
    """The timelines of the tracks that are being worked on; one in use is never read from rows a second time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._recent: OrderedDict[str, Timeline] = OrderedDict()
        self._in_use: WeakValueDictionary[str, Timeline] = WeakValueDictionary()

    def of(self, track_id: str) -> Timeline:
        """A track's timeline, always the same object while it is being worked on."""
        with self._lock:
            found = self._in_use.get(track_id)
            if found is None:
                with self._store.db.read() as c:
                    found = Timeline(segments.segments_of(c, track_id))
                self._in_use[track_id] = found
            self._recent[track_id] = found
            self._recent.move_to_end(track_id)
            if len(self._recent) > TRACKS_KEPT:
                self._recent.popitem(last=False)
            return found

    def forget(self, track_id: str) -> None:
        """Read it from rows again next time: something went wrong, or it is gone."""
        with self._lock:
            self._recent.pop(track_id, None)
            self._in_use.pop(track_id, None)


def _are_ordered(known: Sequence[Known]) -> bool:
    """Whether of any two segments the one of the lower index neither begins nor ends later."""
    spans = [(one.placed.start_ns, one.placed.end_ns) for one in known]
    return all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(spans))


def _start_ns(known: Known) -> int:
    return known.placed.start_ns


def _end_ns(known: Known) -> int:
    return known.placed.end_ns


def _end_sample(placed: Placed) -> int:
    place = placed.place
    return ns_to_samples(place.take_start_ns, RATE_HZ) + rescale(
        place.take_offset + placed.samples, place.rate_hz, RATE_HZ
    )
