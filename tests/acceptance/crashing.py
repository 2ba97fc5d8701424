"""A recorder and its listener in a process that may be killed anywhere: `python -m tests.acceptance.crashing DATA`.

It goes on where its data folder is: a session is created, its segments are sent, it is ended and enriched. Each step
that is acknowledged is a line on standard output, written only after the acknowledgement. Done, it prints `done`.
The segments are the same in every run, so that what was acknowledged can be compared byte by byte.

`--careless` is a control: it acknowledges a segment before the bytes are flushed.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from longtake.ingest.protocol import announce
from longtake.model.errors import Conflict
from longtake.model.lifecycle import SessionState
from longtake.model.session import TrackKind
from longtake.runtime import Runtime
from longtake.sessions.manager import NewSession, NewTrack
from longtake.settings import Settings
from longtake.storage.catalog.sessions import Filter
from tests.enrichment.recording import cut, tone, wav

KINDS = (TrackKind.MICROPHONE, TrackKind.SYSTEM)


def bodies() -> list[list[bytes]]:
    """The segments of both tracks; the first of the second is large enough to become a file."""
    first = cut(tone(14.0, rate_hz=16_000), 2.0, rate_hz=16_000)
    second = [wav(tone(6.0, hz=600)), *cut(tone(6.0, hz=650, rate_hz=16_000), 3.0, rate_hz=16_000)]
    return [first, second]


def say(*words: object) -> None:
    """One line in one write: it is there when it is whole."""
    os.write(sys.stdout.fileno(), (json.dumps(words) + "\n").encode())


def run(data: Path, *, careless: bool) -> None:
    """Record, end, and wait until everything is made."""
    settings = Settings.model_validate({"data": data, "engine": "none", "min_free_bytes": 0})
    with Runtime.open(settings) as runtime:
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
        try:
            runtime.lifecycle.end(session.id)
        except Conflict:
            pass  # ended by a run that was killed
        say("ended")
        while (job := runtime.sessions.get(session.id).job) is None or job.finished_at_ms is None:
            time.sleep(0.01)
        say("job", job.status.value)
    say("done")


def _settled(runtime: Runtime, session_id: str) -> None:
    while not runtime.sessions.get(session_id).is_settled:
        time.sleep(0.01)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--careless", action="store_true")
    options = parser.parse_args()
    run(options.data, careless=options.careless)
