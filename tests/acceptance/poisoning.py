"""Segments that kill, in a process that may be killed, too: `python -m tests.acceptance.poisoning DATA MODELS POISON`.

A segment of one track kills its decoder (whoever opens the file POISON), one of the other track its recogniser, each
time; all others are innocent. Every such death is a line on standard output: `["death", "decoder" or "recogniser"]`.
When the job has ended, what became of each segment is another, and the last is `done`.

`--die-at N` ends the process at the N-th step since the first death: a death that is not counted yet, a write, a flush,
a commit; `--die-at-death N` at the N-th death of a recogniser. `--careless` is a control: it begins with no death
counted.
"""

import argparse
import contextlib
import itertools
import time
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event, update

import longtake.runtime
from longtake.enrichment.lanes.poison import MAX_KILLS
from longtake.model.session import TrackKind
from longtake.runtime import Runtime
from longtake.settings import Settings
from longtake.storage.catalog.library import Filter
from longtake.storage.tables import segments
from tests.acceptance.crashing import Fate, MortalDisk, say
from tests.enrichment.killers import Fragile, Killer, is_quiet, large, path_of, spoken
from tests.enrichment.recording import Recording, cut, running, tone, wav

KINDS = (TrackKind.MICROPHONE, TrackKind.SYSTEM)
POISONED = 1
"""The number of the deadly segment of both tracks."""


class FateOfTheDeadly(Fate):
    """Counts from the first death on."""

    def __init__(self, die_at: int | None, die_at_death: int | None) -> None:
        super().__init__(die_at)
        self._die_at_death = die_at_death
        self._recognisers = itertools.count(1)
        self.has_begun = False

    def is_here(self) -> bool:
        return self.has_begun and super().is_here()

    def death(self, kind: str) -> None:
        """A child has died, and nobody has noticed yet."""
        say("death", kind)
        self.has_begun = True
        self.step()
        if kind == "recogniser" and next(self._recognisers) == self._die_at_death:
            self.die()


def prepare(data: Path) -> Path:
    """Record both tracks and end the session; returns the deadly file."""
    with running(data, with_engine=False) as runtime:
        recording = Recording.begin(runtime, *KINDS)
        first, last = cut(tone(2.0, rate_hz=16_000), 1.0, rate_hz=16_000)
        recording.send_all([first, large(), last])
        recording.send_all([wav(spoken(number)[:, None], rate_hz=16_000) for number in range(3)], track=1)
        recording.end()
        return path_of(runtime, recording.segments()[POISONED].sha256).relative_to(data)


def run(data: Path, models: Path, poison: Path, *, fate: FateOfTheDeadly, careless: bool) -> None:
    """Wait until the job has ended, and say what became of the segments."""

    def fragile(models_dir: Path, **options: Any) -> Fragile:
        worker = Fragile(models_dir, deadly_to_hear=is_quiet, **options)
        worker.on_death = partial(fate.death, "recogniser")
        return worker

    vars(longtake.runtime)["SpeechWorker"] = fragile
    settings = Settings.model_validate({"data": data, "models_folder": models, "min_free_bytes": 0})
    if careless:
        with Runtime.open(settings, with_engine=False) as runtime, runtime.store.db.write() as c:
            c.execute(update(segments).values(kills=0))
    event.listen(Engine, "commit", fate.step)
    killer = Killer((data / poison).resolve(), on_death=partial(fate.death, "decoder"))
    with killer, contextlib.closing(Runtime.open(settings, disk=MortalDisk(fate))) as runtime:
        [session], _ = runtime.sessions.page(Filter(), limit=1)
        while (job := runtime.sessions.get(session.id).job) is None or job.finished_at_ms is None:
            time.sleep(0.02)
        say("job", job.status.value)
        recording = Recording(runtime, session.id, [track.id for track in session.tracks])
        for number in range(len(KINDS)):
            for segment in recording.segments(number):
                has_killed = min(segment.kills, MAX_KILLS)  # lanes that decoded it at once may have counted more
                say("segment", number, segment.index, segment.status.value, segment.error_code, has_killed)
        say("words", *(text for _, _, _, text in recording.words()))
    say("done", fate.steps)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("data", "models", "poison"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--die-at", type=int)
    parser.add_argument("--die-at-death", type=int)
    parser.add_argument("--careless", action="store_true")
    options = parser.parse_args()
    fate = FateOfTheDeadly(options.die_at, options.die_at_death)
    run(options.data, options.models, options.poison, fate=fate, careless=options.careless)
