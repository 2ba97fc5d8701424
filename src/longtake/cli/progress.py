"""Progress on standard error: a bar per stage on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from longtake.cli.console import harmless, note

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from longtake.wire.jobs import JobAnswer

LINE_EVERY = 0.25
"""Without a terminal a stage is told of again when so much more of it is done,"""
LINE_EVERY_S = 10.0
"""or when its remark is another after that time."""
MADE = ("audio", "transcript", "chapters", "summary")
"""The stages of every job that are shown even when they pass too quickly to be seen."""


class Stages(Protocol):
    """Shows how far stages are, one after another."""

    def show(self, stage: str, part: float, remark: str = "") -> None:
        """A stage is so far done (0…1)."""


class Bars:
    """A bar for each stage."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def show(self, stage: str, part: float, remark: str = "") -> None:
        """Move a stage's bar; those before it are full."""
        if stage not in self._bars:
            for bar in self._bars.values():
                self._progress.update(bar, completed=1.0, remark="")
            self._bars[stage] = self._progress.add_task(stage, total=1.0, remark="")
        self._progress.update(self._bars[stage], completed=part, remark=harmless(remark))


class Lines:
    """A line when a stage begins, moves on by `LINE_EVERY`, or ends."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[float, str, float]] = {}

    def show(self, stage: str, part: float, remark: str = "") -> None:
        """Say how far a stage is, if that is news."""
        said, said_remark, at_s = self._said.get(stage, (-1.0, "", 0.0))
        now_s = time.monotonic()
        is_end = part >= 1 > said
        if is_end or part - said >= LINE_EVERY or (remark != said_remark and now_s - at_s >= LINE_EVERY_S):
            self._said[stage] = (part, remark, now_s)
            note(f"{stage}: {int(part * 100)} %{f' ({remark})' if remark else ''}")


@contextmanager
def stages() -> Iterator[Stages]:
    """What shows stages here."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<12}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    remark = TextColumn("{task.fields[remark]}", markup=False)
    with Progress(*columns, remark, console=Console(stderr=True)) as progress:
        yield Bars(progress)


def follow(
    job_of: Callable[[], JobAnswer],
    shown: Stages,
    *,
    every_s: float,
    so_far: Callable[[], str] = lambda: "",
) -> JobAnswer:
    """Show a job until it has ended; returns it as it ended.

    Args:
        job_of: Asks how far it is.
        shown: Where it is shown.
        every_s: How often.
        so_far: What to say beside the sound, which does not know how much there is before its end.
    """
    from longtake.enrichment.stages import PERCENT, SKIPPED, Stage
    from longtake.model.lifecycle import JobState

    order = [stage.value for stage in Stage]
    passed = 0
    while True:
        job = job_of()
        at = len(order) if job.status is JobState.COMPLETED else order.index(job.stage) if job.stage else 0
        for stage in order[passed:at]:
            if stage in MADE:
                shown.show(stage, 1.0)
        passed = max(passed, at)
        if job.finished_at is not None:
            return job
        if job.stage is not None and job.substage != SKIPPED:
            low, high = PERCENT[Stage(job.stage)]
            if high > low:
                remark = so_far() if job.stage == Stage.AUDIO else ""
                shown.show(job.stage, (job.progress - low) / (high - low), job.error or remark)
        time.sleep(every_s)
