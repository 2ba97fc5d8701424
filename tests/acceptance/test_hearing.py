"""After any kill in a transcription: nothing that was heard is asked again, and the rest is heard."""

import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing

import numpy as np
import pytest

from tests.enrichment.recording import wav
from tests.speech.sounds import DATA, load, noise

pytestmark = pytest.mark.timeout(600)

KILLS = ((1, 0.2), (2, 0.0), (2, 1.5))
"""Where runs are killed: so long after so many requests to the recogniser. A fourth crash would end the job."""


@pytest.fixture
def speech(tmp_path):
    """Half a minute of speech, no two utterances of it alike."""
    once = load(DATA / "jfk.flac")
    sound = [once + noise(12.0, level=10, seed=seed)[: len(once)] for seed in range(3)]
    file = tmp_path / "speech.wav"
    file.write_bytes(wav(np.concatenate(sound)[:, None], rate_hz=16_000))
    return file


def hear(data, file, kill=None):
    """One run, killed or not; returns the keys that it asked for, and how its job ended."""
    program = [sys.executable, "-m", "tests.acceptance.hearing", str(data), str(file)]
    asked, ended = [], None
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        guard = threading.Timer(200, process.kill)
        guard.start()
        assert process.stdout is not None
        for line in process.stdout:
            kind, value = json.loads(line)
            if kind == "asked":
                asked.append(value)
            else:
                ended = value
            if kill is not None and len(asked) == kill[0]:
                time.sleep(kill[1])
                process.send_signal(signal.SIGKILL)
                kill = None  # what it said meanwhile is still read
        guard.cancel()
    return asked, ended


def rows(data, query):
    with closing(sqlite3.connect(data / "longtake.db")) as connection:
        return [value for (value,) in connection.execute(query)]


def test_no_finished_utterance_is_recognised_twice(tmp_path, speech):
    data = tmp_path / "data"
    everything = []
    for kill in KILLS:
        finished = set(rows(data, "SELECT key FROM recognitions")) if (data / "longtake.db").exists() else set()
        asked, _ = hear(data, speech, kill)
        assert finished.isdisjoint(asked)
        everything += asked
    finished = set(rows(data, "SELECT key FROM recognitions"))
    asked, ended = hear(data, speech)
    everything += asked
    assert ended == "completed"
    assert finished
    assert finished.isdisjoint(asked)
    keys = rows(data, "SELECT key FROM utterances")
    assert len(keys) >= 8
    assert set(keys) == set(everything) == set(rows(data, "SELECT key FROM recognitions"))
    assert len(everything) <= len(keys) + len(KILLS)  # what a kill cut off was asked once more
