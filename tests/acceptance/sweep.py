"""Kill `crashing` at a point, look at what it left, let it go on, and compare with a run that nobody disturbed."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from longtake.storage.catalog.library import Filter
from tests.acceptance import crashing
from tests.enrichment.recording import Recording, read_original, reference_counts_are_exact, running

PATIENCE_S = 120

SYSCALLS = {
    "fdatasync": 40,
    "pwrite64": 430,
    "writev": 10,
    "write": 18,
    "unlink": 8,
    "ftruncate": 5,
    "fsync": 2,
    "rename": 1,
}
"""By which bytes reach the disk, and how often the busiest thread of a run calls each: `strace` counts by thread."""


@dataclass(frozen=True)
class Point:
    """Where a run is killed: at a step of its own count, or at a thread's n-th call of the system."""

    n: int
    syscall: str | None = None

    def __str__(self) -> str:
        return f"{self.syscall or 'step'} {self.n}"


@dataclass(frozen=True)
class Verdict:
    """What became of a run that was killed."""

    point: Point
    was_killed: bool
    acknowledged: int
    lost: int
    trouble: str | None


def steps(count: int, total: int) -> list[Point]:
    """So many steps, evenly over a run of that many."""
    return [Point(n) for n in spread(count, total)]


def calls(count: int) -> list[Point]:
    """So many calls of the system, as many of each kind as there are, evenly over a run."""
    found: list[Point] = []
    remaining = count
    for left, (syscall, most) in zip(
        range(len(SYSCALLS), 0, -1), sorted(SYSCALLS.items(), key=lambda item: item[1]), strict=True
    ):
        share = min(most, remaining // left)
        found += [Point(n, syscall) for n in spread(share, most)]
        remaining -= share
    return found


def spread(count: int, total: int) -> list[int]:
    """So many different numbers of 1…total, evenly."""
    return sorted({1 + i * (total - 1) // max(1, count - 1) for i in range(count)})


def undisturbed(data: Path) -> tuple[tuple[object, ...], int]:
    """What a run makes that nobody kills, and how many steps it has."""
    said, _, error = _run(data)
    assert said[-1][0] == "done", error
    return _look(data)[0], int(str(said[-1][1]))


def sweep(points: Iterable[Point], expected: Sequence[object], *, careless: bool = False) -> list[Verdict]:
    """Kill a run at each point, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(partial(_try, expected=expected, careless=careless), points))


def _try(point: Point, *, expected: Sequence[object], careless: bool) -> Verdict:
    with tempfile.TemporaryDirectory(prefix="longtake-crash-") as folder:
        data = Path(folder) / "data"
        said, status, _ = _run(data, point, careless=careless)
        acknowledged = [(str(line[1]), int(str(line[2]))) for line in said if line[0] == "segment"]
        lost = _lost(data, acknowledged)
        again, _, error = _run(data)
        trouble = None
        if not again or again[-1][0] != "done" or ["job", "completed"] not in again:
            trouble = f"the next run said {again[-3:]}: {error}"
        else:
            content, counts_are_exact = _look(data)
            if content != expected:
                trouble = "other artifacts"
            elif not counts_are_exact:
                trouble = "counters differ from rows"
        return Verdict(point, status != 0, len(acknowledged), lost, trouble)


def _run(data: Path, point: Point | None = None, *, careless: bool = False) -> tuple[list[list[object]], int, str]:
    """What a run acknowledged, line by line, how it ended, and the last it said of trouble."""
    command = [sys.executable, "-m", "tests.acceptance.crashing", str(data)]
    if careless:
        command.append("--careless")
    if point is not None and point.syscall is None:
        command += ["--die-at", str(point.n)]
    elif point is not None:
        kill = f"inject={point.syscall}:signal=KILL:when={point.n}"
        command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={point.syscall}", "-e", kill, *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    return (
        [json.loads(line) for line in done.stdout.splitlines() if line.endswith("]")],
        done.returncode,
        done.stderr[-300:],
    )


def _lost(data: Path, acknowledged: Sequence[tuple[str, int]]) -> int:
    """How many acknowledged bytes are not there, before anything is sent again."""
    if not acknowledged:
        return 0
    lost = 0
    with running(data, with_engine=False) as runtime:
        [session], _ = runtime.sessions.page(Filter(), limit=1)
        tracks = [track.id for track in session.tracks]
        recording = Recording(runtime, session.id, tracks)
        stored = {
            (segment.track_id, segment.index): read_original(runtime, segment)
            for number in range(len(tracks))
            for segment in recording.segments(number)
        }
        sent = crashing.bodies()
        for track, index in acknowledged:
            body = sent[tracks.index(track)][index]
            lost += len(body) if stored.get((track, index)) != body else 0
    return lost


def _look(data: Path) -> tuple[tuple[object, ...], bool]:
    """What was made, and whether counters and reference counts are exact."""
    with running(data, with_engine=False) as runtime:
        [session], _ = runtime.sessions.page(Filter(), limit=1)
        recording = Recording(runtime, session.id, [track.id for track in session.tracks])
        return recording.content(), reference_counts_are_exact(runtime)
