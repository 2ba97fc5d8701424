"""What a timeline finds of a stretch, whatever recorders say of where segments lie."""

import random

import pytest

from longtake.enrichment.lanes.timelines import Timeline
from longtake.model.timeline import NS_PER_S, Place, Placed


def placed(index, start_s, length_s):
    place = Place(take_start_ns=start_s * NS_PER_S, take_offset=0, rate_hz=8000)
    return Placed(index=index, sha256=f"{index:064}", place=place, samples=8000 * length_s, channels=1)


def touching(known, from_ns, to_ns):
    return [one for one in known if one.start_ns < to_ns + NS_PER_S and one.end_ns > from_ns - NS_PER_S]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_touches_a_stretch_is_found_in_any_order_of_segments(seed):
    dice = random.Random(seed)
    timeline = Timeline([])
    known = [placed(index, dice.randrange(20 + 5 * index), dice.randrange(1, 15)) for index in range(8)]
    for one in dice.sample(known, len(known)):
        timeline.put(one, one.start_ns // 1_000_000)
    known = timeline.around(0, 3600 * NS_PER_S)
    for start_s in range(80):
        from_ns, to_ns = start_s * NS_PER_S, (start_s + 3) * NS_PER_S
        assert timeline.around(from_ns, to_ns) == touching(known, from_ns, to_ns)
        earlier = [one.index for one in known if one.start_ns < from_ns]
        assert timeline.index_behind(from_ns) == max(earlier, default=-1) + 1


def test_a_later_segment_that_begins_before_another_is_found():
    timeline = Timeline([])
    timeline.put(placed(0, 10, 1), 10_000)
    timeline.put(placed(1, 0, 12), 0)
    assert [one.index for one in timeline.around(0, 5 * NS_PER_S)] == [1]
