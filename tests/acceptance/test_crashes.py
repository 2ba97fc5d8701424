"""Killed anywhere: nothing that was acknowledged is lost, every job ends, what is made is the same.

`bench/crashes.py` tries every step and a hundred calls of the system; here are some of each.
"""

import pytest

from tests.acceptance.migrating import Sweep
from tests.acceptance.sweep import Point, calls, steps, sweep, undisturbed

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What is made when nobody disturbs it, and in how many steps."""
    return undisturbed(tmp_path_factory.mktemp("undisturbed") / "data")


def shown(verdicts):
    return [(str(v.point), v.lost, v.trouble) for v in verdicts if v.lost or v.trouble]


def test_killed_at_any_step_of_ingest_lanes_and_saga(whole):
    expected, count = whole
    verdicts = sweep(steps(26, count), expected)
    assert shown(verdicts) == []
    assert sum(v.was_killed for v in verdicts) >= 23
    assert max(v.acknowledged for v in verdicts) == 10


@pytest.mark.needs("strace")
def test_killed_at_calls_of_the_system(whole):
    verdicts = sweep(calls(16), whole[0])
    assert shown(verdicts) == []
    assert sum(v.was_killed for v in verdicts) >= 12


def test_the_sweep_sees_a_loss_when_there_is_one(whole):
    expected, count = whole
    while_it_sends = range(count // 10, count // 5, 6)
    verdicts = sweep((Point(n) for n in while_it_sends), expected, careless=True)
    assert any(v.lost for v in verdicts)


@pytest.mark.needs("strace")
def test_killed_in_a_migration(tmp_path):
    migration = Sweep(tmp_path)
    verdicts = migration.run(migration.points(8))
    assert shown(verdicts) == []
    assert sum(v.was_killed for v in verdicts) >= 5
    [control] = migration.run([Point(1, "pwrite64")], careless=True)
    assert control.lost
