"""The order in which a real process writes, flushes, commits and acknowledges, as the kernel saw it."""

import re

import pytest

from tests.ingest.program import SIZES
from tests.ingest.station import SMALL
from tests.ingest.traced import steps, strace

CALLS = "openat,write,writev,pwrite64,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat"
KINDS = {
    "create pack": r"openat .*packs/\d+\.pack.*O_CREAT",
    "flush folder of packs": r"fsync .*/data/packs>",
    "write pack": r"writev .*\.pack>",
    "flush pack": r"fdatasync .*\.pack>",
    "write body": r"writev .*/incoming/",
    "flush body": r"fdatasync .*/incoming/",
    "name body": r"rename.* .*/incoming/.*/files/",
    "flush folder of files": r"fsync .*/data/files>",
    "write log": r"pwrite64 .*longtake\.db-wal>",
    "flush log": r"fdatasync .*longtake\.db-wal>",
    "receipt": r'write .*"receipt (\d+)',
}


def told(command, tmp_path):
    """The steps, in order, each a kind with the indices of the segments that it names."""
    trace = tmp_path / "trace"
    run = strace(tmp_path / "data", command, "-y", "-s", "256", "-o", str(trace), "-e", f"trace={CALLS}")
    assert run.returncode == 0, run.stderr
    found = []
    for step in steps(trace.read_text()):
        for kind, pattern in KINDS.items():
            if match := re.match(pattern, f"{step.call} {step.args}"):
                named = match.groups() if kind == "receipt" else re.findall(r'index\\":(\d+)', step.args)
                found.append((kind, {int(index) for index in named}))
    return found


def violations(told_steps):
    """What stands where it must not: a receipt, a commit or a name before what has to come first."""
    found = []
    dirty: set[str] = set()
    written: set[int] = set()
    flushed: set[int] = set()
    committed: set[int] = set()
    for kind, indices in told_steps:
        verb, _, what = kind.partition(" ")
        if verb == "write":
            dirty.add(what)
            written |= indices
        if kind == "create pack":
            dirty.add("folder of packs")
        if kind == "name body":
            dirty.add("folder of files")
        if verb == "flush":
            dirty.discard(what)
        if kind == "flush pack":
            flushed |= written
        if kind == "flush log":
            committed |= flushed
        if what == "log" and dirty & {"pack", "folder of packs", "folder of files"}:
            found.append("committed before the bytes were safe")
        if kind == "receipt" and not indices <= committed:
            found.append("acknowledged before the commit was safe")
    return found


@pytest.mark.needs("strace")
def test_bytes_then_names_then_rows_then_receipts(tmp_path):
    told_steps = told("store", tmp_path)
    kinds = [kind for kind, _ in told_steps]
    assert violations(told_steps) == []
    assert set(kinds) == set(KINDS)
    assert set().union(*(indices for kind, indices in told_steps if kind == "receipt")) == set(range(len(SIZES)))
    large = len([size for size in SIZES if size > SMALL])
    assert kinds.count("name body") == kinds.count("flush body") == large


@pytest.mark.needs("strace")
def test_a_program_that_acknowledges_too_early_is_caught(tmp_path):
    assert "acknowledged before the commit was safe" in violations(told("hasty", tmp_path))
