"""Kill `deleting` at a point, look at what it left, let it go on, and compare with a run that nobody disturbed."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from longtake.model.errors import LongtakeError
from tests.acceptance import deleting
from tests.acceptance.sweep import PATIENCE_S, Point, Verdict


class Sweep:
    """One scenario on copies of one folder."""

    def __init__(self, root: Path, scenario: str) -> None:
        """Prepare the folder, and see what becomes of it when nobody disturbs anything."""
        self.root, self.scenario = root, scenario
        self.source = root / "source"
        self.ids = deleting.prepare(self.source, scenario)
        data = self._copy("undisturbed")
        said, _, error = self._start(data)
        assert said and said[-1][0] == "done", error
        self.count = int(str(said[-1][1]))
        self.expected = deleting.finish(data, self.ids)

    def run(self, points: Iterable[Point], *, careless: bool = False) -> list[Verdict]:
        """Kill a run at each point, two at a time."""
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(partial(self._try, careless=careless), points))

    def _copy(self, name: str) -> Path:
        data = self.root / name
        shutil.copytree(self.source, data)
        return data

    def _try(self, point: Point, *, careless: bool) -> Verdict:
        data = self._copy(str(point).replace(" ", "-"))
        said, status, _ = self._start(data, point, careless=careless)
        done = {str(line[0]) for line in said}
        lost, trouble = 0, None
        try:
            whole, lost = deleting.look(data, self.ids)
            if deleting.KEPT not in whole:
                trouble = "a session that nobody deleted is gone"
            elif "purged" in done and deleting.DOOMED in whole:
                trouble = "what was deleted is there"
            elif "muted" in done and deleting.MUTED in whole:
                trouble = "recordings that were deleted are there"
            elif deleting.finish(data, self.ids) != self.expected:
                trouble = "another state in the end"
        except (AssertionError, LongtakeError) as error:
            trouble = repr(error)[:300]
        shutil.rmtree(data)
        return Verdict(point, status != 0, len(done), lost, trouble)

    def _start(
        self, data: Path, point: Point | None = None, *, careless: bool = False
    ) -> tuple[list[list[object]], int, str]:
        """What a run acknowledged, line by line, how it ended, and the last it said of trouble."""
        command = [sys.executable, "-m", "tests.acceptance.deleting", str(data), self.scenario]
        command += [self.ids[deleting.DOOMED], self.ids[deleting.MUTED]]
        if careless:
            command.append("--careless")
        if point is not None and point.syscall is None:
            command += ["--die-at", str(point.n)]
        elif point is not None:
            kill = f"inject={point.syscall}:signal=KILL:when={point.n}"
            command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={point.syscall}", "-e", kill, *command]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        said = [json.loads(line) for line in done.stdout.splitlines() if line.endswith("]")]
        return said, done.returncode, done.stderr[-300:]
