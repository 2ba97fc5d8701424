"""A sample of `bench/faults.py`: one failure of each kind of call, a burst of them, and the control."""

import errno

import pytest

from tests.operations.faults import LyingDisk, sweep, undisturbed


@pytest.fixture(scope="module")
def sound():
    found = undisturbed()
    assert (found.trouble, found.lost_bytes, found.doubled, found.stuck, found.refused) == (None, 0, 0, 0, 0)
    return found


def is_untouched(verdict):
    return (verdict.trouble, verdict.lost_bytes, verdict.doubled, verdict.stuck) == (None, 0, 0, 0)


@pytest.mark.parametrize(("at", "code"), [(0, errno.EIO), (9, errno.ENOSPC), (28, errno.EIO), (41, errno.ENOSPC)])
def test_one_failure_leaves_no_trace(sound, at, code):
    (verdict,) = sweep([at], sound.content, codes=[code])
    assert verdict.failed
    assert is_untouched(verdict), verdict


def test_a_disk_that_is_full_for_a_while_leaves_no_trace(sound):
    (verdict,) = sweep([24], sound.content, codes=[errno.ENOSPC], burst=5)
    assert len(verdict.failed) == 5
    assert verdict.refused >= 1
    assert is_untouched(verdict), verdict


def test_there_are_enough_sites(sound):
    assert 2 * sound.calls >= 60


def test_the_control_is_seen(sound):
    """A disk that says it wrote: some of its lies must show, or the sweep would see nothing."""
    verdicts = sweep(range(14, 40, 4), sound.content, codes=[errno.EIO], kind=LyingDisk)
    assert any(not is_untouched(verdict) for verdict in verdicts if verdict.failed)
