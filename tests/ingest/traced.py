"""Runs the test program under strace and reads what it did to the disk, in order."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

LINE = re.compile(r"^\d+ +(?P<call>\w+)\((?P<args>.*?)\)? += (?P<result>-?\d+)")
STARTED = re.compile(r"^(?P<thread>\d+) +(?P<call>\w+)\((?P<args>.*) <unfinished \.\.\.>$")
RESUMED = re.compile(r"^(?P<thread>\d+) +<\.\.\. (?P<call>\w+) resumed>(?P<rest>.*?)\)? += (?P<result>-?\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A system call that has ended, on a file of the folder or on standard output."""

    call: str
    args: str


def strace(folder: Path, command: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `command` of the program on a folder, traced with all its threads."""
    return subprocess.run(
        ["strace", "-f", "-qq", *options, sys.executable, "-m", "tests.ingest.program", command, str(folder)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )


def steps(trace: str) -> list[Step]:
    """The successful calls of a trace, in the order in which they ended."""
    open_calls: dict[str, str] = {}
    found = []
    for line in trace.splitlines():
        if match := STARTED.match(line):
            open_calls[match["thread"]] = match["args"]
        elif match := RESUMED.match(line):
            if int(match["result"]) >= 0:
                found.append(Step(call=match["call"], args=open_calls[match["thread"]] + match["rest"]))
        elif (match := LINE.match(line)) and int(match["result"]) >= 0:
            found.append(Step(call=match["call"], args=match["args"]))
    return found
