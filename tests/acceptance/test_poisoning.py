"""Killed while children die of segments: those are set aside all the same, after no more deaths, and no innocent is.

`bench/crashes.py` tries every step.
"""

import pytest

from tests.acceptance.sweep import Point, steps
from tests.acceptance.sweep_poisoning import DEATH, Sweep

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return Sweep(tmp_path_factory.mktemp("poisoning"))


def test_killed_at_steps_of_dying_and_counting(sweep):
    verdicts = sweep.run([*steps(5, sweep.count), Point(3, DEATH)])
    assert [(str(v.point), v.trouble) for v in verdicts if v.trouble] == []
    assert sum(v.was_killed for v in verdicts) >= 5


def test_the_sweep_sees_a_count_that_is_lost(sweep):
    [verdict] = sweep.run([Point(3, DEATH)], careless=True)
    assert verdict.trouble
