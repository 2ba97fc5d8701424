"""Killed everywhere: at every step by which anything becomes durable, and at hundreds of calls of the system.

Each kill is followed by a look at what was acknowledged, by a run to the end, and by a comparison with a run that
nobody disturbed. A control that acknowledges too early must lose something, or the sweep sees nothing.
"""

import shutil
import tempfile
from pathlib import Path

from bench.figures import Figure
from tests.acceptance import migrating, sweep_poisoning
from tests.acceptance.deleting import SCENARIOS
from tests.acceptance.sweep import Point, Verdict, calls, steps, sweep, undisturbed
from tests.acceptance.sweep_deleting import Sweep


def run(smoke: bool) -> list[Figure]:
    """Sweep."""
    with tempfile.TemporaryDirectory(prefix="longtake-bench-") as folder:
        expected, count = undisturbed(Path(folder) / "data")
    points = steps(1 if smoke else count, count)
    if shutil.which("strace") is not None:
        points += calls(1 if smoke else 240)
    verdicts = sweep(points, expected)
    while_it_sends = range(count // 10, count // 5, 15 if smoke else 2)
    control = sweep([Point(n) for n in while_it_sends], expected, careless=True)
    deleted = [verdict for scenario in SCENARIOS[: 1 if smoke else None] for verdict in sweep_deleting(scenario, smoke)]
    is_traced = shutil.which("strace") is not None
    found = figures(verdicts, control, is_traced=is_traced) + deletion_figures(deleted)
    found.append(poisoning_figure(1 if smoke else 60))
    return found + ([migration_figure(1 if smoke else 200)] if is_traced else [])


def poisoning_figure(count: int) -> Figure:
    """Kill it while children die of segments, and while that is counted."""
    with tempfile.TemporaryDirectory(prefix="longtake-bench-") as folder:
        poisoned = sweep_poisoning.Sweep(Path(folder))
        deaths = [Point(n, sweep_poisoning.DEATH) for n in range(1, 4)]
        verdicts = poisoned.run(deaths[:count] + steps(count, poisoned.count))
    killed = sum(verdict.was_killed for verdict in verdicts)
    troubled = [f"{verdict.point}: {verdict.trouble}" for verdict in verdicts if verdict.trouble]
    detail = "; ".join(troubled[:3]) or f"killed {killed} times"
    name = "kills after which a deadly segment goes on or an innocent is set aside"
    return Figure(name=name, value=len(troubled), target="= 0", unit="", detail=detail)


def migration_figure(count: int) -> Figure:
    """Kill the migration of an older folder."""
    with tempfile.TemporaryDirectory(prefix="longtake-bench-") as folder:
        migration = migrating.Sweep(Path(folder))
        verdicts = migration.run(migration.points(count))
    killed = sum(verdict.was_killed for verdict in verdicts)
    troubled = [f"{verdict.point}: {verdict.trouble}" for verdict in verdicts if verdict.trouble]
    detail = "; ".join(troubled[:3]) or f"killed {killed} times by strace"
    return Figure(
        name="kills after which a migration is wrong", value=len(troubled), target="= 0", unit="", detail=detail
    )


def sweep_deleting(scenario: str, smoke: bool) -> list[Verdict]:
    """Kill it while it deletes, or collects."""
    with tempfile.TemporaryDirectory(prefix="longtake-bench-") as folder:
        deleting = Sweep(Path(folder), scenario)
        points = steps(1 if smoke else deleting.count, deleting.count)
        if shutil.which("strace") is not None:
            points += calls(1 if smoke else 40)
        return deleting.run(points)


def deletion_figures(verdicts: list[Verdict]) -> list[Figure]:
    """What the sweeps over deletion and collection found."""
    killed = sum(verdict.was_killed for verdict in verdicts)
    troubled = [f"{verdict.point}: {verdict.trouble}" for verdict in verdicts if verdict.trouble]
    detail = "; ".join(troubled[:3]) or f"killed {killed} times"
    lost = sum(verdict.lost for verdict in verdicts)
    return [
        Figure(name="bytes lost by kills in a deletion", value=lost, target="= 0", unit="bytes", detail=detail),
        Figure(name="kills after which a deletion is wrong", value=len(troubled), target="= 0", unit="", detail=detail),
    ]


def figures(verdicts: list[Verdict], control: list[Verdict], *, is_traced: bool) -> list[Figure]:
    """What the sweep found."""
    killed = [verdict for verdict in verdicts if verdict.was_killed]
    troubled = [verdict for verdict in verdicts if verdict.trouble]
    by_calls = sum(verdict.point.syscall is not None for verdict in killed)
    detail = f"killed {len(killed)} times, {by_calls} of them by strace; {len(control)} runs of the control"
    trouble = "; ".join(f"{verdict.point}: {verdict.trouble}" for verdict in troubled[:3]) or detail
    lost = sum(verdict.lost for verdict in verdicts)
    return [
        Figure(name="acknowledged bytes lost over all kills", value=lost, target="= 0", unit="bytes", detail=detail),
        Figure(
            name="kills after which a job or an artifact is wrong",
            value=len(troubled),
            target="= 0",
            unit="",
            detail=trouble,
        ),
        Figure(
            name="calls of the system at which it was killed",
            value=by_calls if is_traced else None,
            target="≥ 100",
            unit="",
            detail=detail if is_traced else "strace is missing",
        ),
        Figure(
            name="bytes lost by the control",
            value=sum(verdict.lost for verdict in control),
            target="≥ 1",
            unit="bytes",
            detail="acknowledges before the flush: the sweep must see it",
        ),
    ]
