"""A recorder and its listener in a process that may be killed anywhere: `python -m tests.acceptance.crashing DATA`.

It goes on where its data folder is: a session is created, its segments are sent, it is ended and enriched; another job
is asked for and cancelled; a third has a hiccup in its first attempt and succeeds in its second. Each step that is
acknowledged is a line on standard output, written only after the acknowledgement. Done, it prints `done`. The segments
are the same in every run, so that what was acknowledged can be compared byte by byte.

`--die-at N` kills it at its N-th step: a write (of which half is done), a flush, a rename, a commit. `--careless` is a
control: it acknowledges a segment before its bytes are flushed.
"""

import argparse
import contextlib
import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from sqlalchemy import Engine, event

from longtake.events import Event
from longtake.ingest.protocol import announce
from longtake.model.errors import Conflict, IllegalTransition, JobActive
from longtake.model.lifecycle import JobState, SessionState
from longtake.model.session import Job, TrackKind
from longtake.runtime import Runtime
from longtake.sessions.manager import NewSession, NewTrack
from longtake.settings import Settings
from longtake.storage.catalog.library import Filter
from longtake.storage.disk import Disk
from tests.enrichment.recording import cut, tone, wav

KINDS = (TrackKind.MICROPHONE, TrackKind.SYSTEM)


@cache
def bodies() -> list[list[bytes]]:
    """The segments of both tracks; the first of the second is large enough to become a file."""
    first = cut(tone(14.0, rate_hz=16_000), 2.0, rate_hz=16_000)
    second = [wav(tone(6.0, hz=600)), *cut(tone(6.0, hz=650, rate_hz=16_000), 3.0, rate_hz=16_000)]
    return [first, second]


class Fate:
    """Counts the steps by which anything becomes durable, and ends the process at one of them."""

    def __init__(self, die_at: int | None) -> None:
        self._die_at = die_at
        self._numbers = itertools.count(1)
        self.steps = 0

    def is_here(self) -> bool:
        """Whether the step that begins now is the last."""
        self.steps = next(self._numbers)
        return self.steps == self._die_at

    def step(self, *_: object) -> None:
        """Begin a step, or die."""
        if self.is_here():
            self.die()

    def die(self) -> None:
        """As suddenly as a process can."""
        os.kill(os.getpid(), signal.SIGKILL)


class MortalDisk(Disk):
    """A disk at each of whose calls the process may end."""

    def __init__(self, fate: Fate) -> None:
        self._fate = fate

    def write_all(self, fd: int, parts: Sequence[bytes | bytearray | memoryview]) -> int:
        if self._fate.is_here():
            whole = b"".join(parts)
            os.write(fd, whole[: len(whole) // 2])
            self._fate.die()
        return super().write_all(fd, parts)

    def flush(self, fd: int) -> None:
        self._fate.step()
        super().flush(fd)

    def flush_folder(self, folder: Path) -> None:
        self._fate.step()
        super().flush_folder(folder)

    def create(self, path: Path) -> int:
        self._fate.step()
        return super().create(path)

    def rename(self, source: Path, target: Path) -> None:
        self._fate.step()
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self._fate.step()
        super().remove(path)


def say(*words: object) -> None:
    """One line in one write: it is there when it is whole."""
    os.write(sys.stdout.fileno(), (json.dumps(words) + "\n").encode())


def run(data: Path, *, fate: Fate, careless: bool) -> None:
    """Record, end, and wait until everything is made."""
    event.listen(Engine, "commit", fate.step)
    hiccup = Hiccup()
    event.listen(Engine, "commit", hiccup.commit)
    settings = Settings.model_validate({"data": data, "engine": "none", "min_free_bytes": 0})
    with Runtime.open(settings, disk=MortalDisk(fate)) as runtime:
        hiccup.watch(runtime)
        page, _ = runtime.sessions.page(Filter(), limit=1)
        session = page[0] if page else runtime.sessions.create(NewSession(title="crashing"))
        say("session", session.id)
        for kind in KINDS[len(session.tracks) :]:
            runtime.sessions.declare_track(session.id, NewTrack(kind=kind))
        session = runtime.sessions.get(session.id)
        if session.state is SessionState.IDLE:
            runtime.lifecycle.start(session.id)
        for track, parts in zip(session.tracks, bodies(), strict=True):
            for index, body in enumerate(parts):
                if careless:
                    say("segment", track.id, index)
                runtime.receiver.receive_blocking(announce(track_id=track.id, index=index), [body])
                if not careless:
                    say("segment", track.id, index)
            if track is session.tracks[0]:
                _settled(runtime, session.id)  # lanes work while it is recorded, and again at its end
        with contextlib.suppress(Conflict):  # ended by a run that was killed
            runtime.lifecycle.end(session.id)
        say("ended")
        _finished(runtime, session.id)
        if not any(job.status is JobState.CANCELLED for job in _jobs(runtime, session.id)):
            with contextlib.suppress(JobActive):  # asked for by a run that was killed
                runtime.work.enqueue(session.id)
            with contextlib.suppress(IllegalTransition):  # it was done before
                runtime.work.cancel(_jobs(runtime, session.id)[0].id)
        say("cancelled")
        if _jobs(runtime, session.id)[0].status is JobState.CANCELLED:
            runtime.work.enqueue(session.id)
        say("job", _finished(runtime, session.id).status.value)
    say("done", fate.steps)


def _jobs(runtime: Runtime, session_id: str) -> list[Job]:
    """All jobs of the session, newest first."""
    return runtime.work.page(session_id=session_id)[0]


def _finished(runtime: Runtime, session_id: str) -> Job:
    """The newest job of the session, once it has ended."""
    while (job := runtime.sessions.get(session_id).job) is None or job.finished_at_ms is None:
        time.sleep(0.01)
    return job


class Hiccup:
    """A disk that refuses one commit: the first one of a job's chapters, in the first attempt of the last job."""

    def __init__(self) -> None:
        self._runtime: Runtime | None = None
        self._here = threading.local()

    def watch(self, runtime: Runtime) -> None:
        """Look out for the moment."""
        self._runtime = runtime
        runtime.store.bus.subscribe(self._heard)

    def _heard(self, heard: Event) -> None:
        assert self._runtime is not None
        if heard.name == "job-progress" and heard.payload.get("stage") == "chapters":
            listed = _jobs(self._runtime, heard.session_id)
            is_last = any(job.status is JobState.CANCELLED for job in listed)
            self._here.is_due = is_last and listed[0].attempts == 1

    def commit(self, *_: object) -> None:
        """Refuse, if it is the moment."""
        if getattr(self._here, "is_due", False):
            self._here.is_due = False
            raise OSError("a hiccup")


def _settled(runtime: Runtime, session_id: str) -> None:
    while not runtime.sessions.get(session_id).is_settled:
        time.sleep(0.01)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--die-at", type=int)
    parser.add_argument("--careless", action="store_true")
    options = parser.parse_args()
    run(options.data, fate=Fate(options.die_at), careless=options.careless)
