"""Killed anywhere while it deletes or collects: nothing else is lost, and it is finished at the next start.

`bench/crashes.py` tries every step.
"""

import pytest

from tests.acceptance import deleting
from tests.acceptance.sweep import Point, steps
from tests.acceptance.sweep_deleting import Sweep

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module", params=deleting.SCENARIOS)
def sweep(request, tmp_path_factory):
    return Sweep(tmp_path_factory.mktemp(request.param), request.param)


def shown(verdicts):
    return [(str(v.point), v.lost, v.trouble) for v in verdicts if v.lost or v.trouble]


def test_killed_at_steps_of_deleting_and_collecting(sweep):
    verdicts = sweep.run(steps(7, sweep.count))
    assert shown(verdicts) == []
    assert sum(v.was_killed for v in verdicts) >= 6


@pytest.mark.needs("strace")
def test_killed_at_calls_of_the_system(sweep):
    verdicts = sweep.run([Point(3, "fdatasync"), Point(30, "pwrite64"), Point(1, "unlink"), Point(2, "writev")])
    assert shown(verdicts) == []
    assert any(v.was_killed for v in verdicts)


def test_the_sweep_sees_a_loss_when_there_is_one(tmp_path):
    sweep = Sweep(tmp_path, "collect")
    verdicts = sweep.run([Point(sweep.count // 2)], careless=True)
    assert any(v.lost or v.trouble for v in verdicts)
