"""A transcription in a process that may be killed anywhere: `python -m tests.acceptance.hearing DATA FILE`.

The first run imports the file, every run goes on until the job has ended. Each request to the recogniser is a line on
standard output before it is made: `["asked", the key under which its answer will be remembered]`.
"""

import hashlib
import sys
import time
from pathlib import Path

from longtake.ingest.protocol import announce
from longtake.model.session import TrackKind
from longtake.runtime import Runtime
from longtake.sessions.manager import NewSession, NewTrack
from longtake.settings import Settings
from longtake.speech.worker import SpeechWorker
from tests.acceptance.crashing import say

ENGINE = "pocketsphinx"
recognise = SpeechWorker.recognise


def told(self, engine_name, pcm, language=None):
    """Ask, and say so first."""
    info = self.info(engine_name)
    say("asked", hashlib.sha256(f"{info.name} {info.model}\n".encode() + pcm.tobytes()).hexdigest())
    return recognise(self, engine_name, pcm, language)


def run(data: Path, file: Path) -> None:
    """Import, and wait until everything is heard."""
    with Runtime.open(Settings.model_validate({"data": data, "engine": ENGINE, "min_free_bytes": 0})) as runtime:
        with runtime.store.db.read() as c:
            session_id = c.exec_driver_sql("SELECT id FROM sessions").scalar()
        if session_id is None:
            session_id = runtime.sessions.create(NewSession(title="hearing")).id
            track = runtime.sessions.declare_track(session_id, NewTrack(kind=TrackKind.UPLOAD))
            runtime.lifecycle.start(session_id)
            runtime.receiver.receive_blocking(announce(track_id=track.id, index=0), [file.read_bytes()])
            runtime.lifecycle.end(session_id)
        while (job := runtime.sessions.get(session_id).job) is None or job.finished_at_ms is None:
            time.sleep(0.05)
        say("job", job.status.value)


if __name__ == "__main__":
    SpeechWorker.recognise = told  # type: ignore[method-assign]
    run(Path(sys.argv[1]), Path(sys.argv[2]))
