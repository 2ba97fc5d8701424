"""Killed without warning at one system call after the other: what was acknowledged is there afterwards."""

import re

import pytest

from tests.ingest.program import SIZES, check
from tests.ingest.traced import strace

pytestmark = [pytest.mark.acceptance, pytest.mark.needs("strace")]

POINTS = {
    "writev": range(1, 11),
    "fdatasync": range(1, 21),
    "pwrite64": range(1, 121, 6),
    "fsync": range(1, 5),
    "rename": range(1, 4),
    "unlink": range(1, 3),
}
"""System call → at which of a thread's calls of that name it is killed: some are in the making of the database."""


def acknowledged(output):
    return [int(index) for index in re.findall(r"receipt (\d+)\n", output)]


def killed(folder, command, call, at):
    """Run until the kill; returns what was acknowledged, None if the program got through."""
    run = strace(
        folder, command, "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={at}"
    )
    return None if run.returncode == 0 else acknowledged(run.stdout)


def test_killed_anywhere_nothing_acknowledged_is_lost(tmp_path):
    kills = 0
    told = set()
    for call, points in POINTS.items():
        for at in points:
            folder = tmp_path / f"{call}-{at}"
            receipts = killed(folder, "store", call, at)
            if receipts is None:
                break  # there are no more such calls
            kills += 1
            told.add(len(receipts))
            check(folder, receipts)
    assert kills >= 40
    assert len(told) >= 5, "the kills were all at one place"


def test_a_program_that_acknowledges_too_early_loses_something(tmp_path):
    lost = 0
    for at in range(6, 20, 2):
        folder = tmp_path / str(at)
        receipts = killed(folder, "hasty", "fdatasync", at)
        if receipts is None:
            break
        try:
            check(folder, receipts)
        except AssertionError:
            lost += 1
    assert lost


def test_what_was_cut_off_can_be_sent_again_and_completes_the_row(tmp_path):
    killed(tmp_path / "data", "store", "fdatasync", 9)
    again = strace(tmp_path / "data", "again", "-o", "/dev/null", "-e", "trace=none")
    assert again.returncode == 0, again.stderr
    assert sorted(acknowledged(again.stdout)) == list(range(len(SIZES)))
    check(tmp_path / "data", list(range(len(SIZES))))
