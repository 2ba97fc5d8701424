"""Kill `poisoning` at a point, let it go on, and compare with a run that nobody disturbed."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from longtake.enrichment.lanes.poison import MAX_KILLS
from tests.acceptance import poisoning
from tests.acceptance.sweep import PATIENCE_S, Point, Verdict
from tests.speech.sounds import DATA

DEATH = "death"
"""A point at which a recogniser has died, and nobody has counted it yet."""
UNCOUNTED = {"decoder": 3, "recogniser": 1}
"""How many deaths a kill may leave uncounted: media, mix and speech lane may decode the same segment at once."""

Said = list[list[object]]


class Sweep:
    """Runs on copies of one folder."""

    def __init__(self, root: Path) -> None:
        """Prepare the folder, and see what becomes of it when nobody disturbs anything."""
        self.root, self.source, self.models = root, root / "source", root / "models"
        self.models.mkdir()
        (self.models / "whisper-tiny").symlink_to(DATA / "tiny-whisper")
        self.poison = poisoning.prepare(self.source)
        data = root / "undisturbed"
        shutil.copytree(self.source, data)
        said, error = self._start(data)
        assert _is_done(said), error
        self.count = int(str(said[-1][1]))
        self.expected = _outcome(said)

    def run(self, points: Iterable[Point], *, careless: bool = False) -> list[Verdict]:
        """Kill a run at each point, two at a time."""
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(partial(self._try, careless=careless), points))

    def _try(self, point: Point, *, careless: bool) -> Verdict:
        data = self.root / str(point).replace(" ", "-")
        shutil.copytree(self.source, data)
        before, _ = self._start(data, "--die-at-death" if point.syscall == DEATH else "--die-at", str(point.n))
        after, error = self._start(data, *(["--careless"] if careless else []))
        shutil.rmtree(data)
        deaths = Counter(str(line[1]) for line in before + after if line[0] == "death")
        trouble = None
        if not _is_done(after):
            trouble = f"the next run said {after[-3:]}: {error}"
        elif _outcome(after) != self.expected:
            trouble = f"another outcome: {_outcome(after)}"
        elif any(deaths[kind] > MAX_KILLS + most for kind, most in UNCOUNTED.items()):
            trouble = f"it went on after {deaths}"
        return Verdict(point, not _is_done(before), sum(deaths.values()), 0, trouble)

    def _start(self, data: Path, *options: str) -> tuple[Said, str]:
        """What a run said, line by line, and the last it said of trouble."""
        command = [sys.executable, "-m", "tests.acceptance.poisoning"]
        command += [str(path) for path in (data, self.models, self.poison)] + list(options)
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        return [json.loads(line) for line in done.stdout.splitlines() if line.endswith("]")], done.stderr[-300:]


def _is_done(said: Said) -> bool:
    return bool(said) and said[-1][0] == "done"


def _outcome(said: Said) -> Said:
    return [line for line in said if line[0] in ("job", "segment", "words")]
