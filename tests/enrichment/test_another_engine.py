"""Asking for another engine: the session is heard anew, and as before when that is cancelled."""

from pathlib import Path

import pytest

from longtake.model.lifecycle import JobState
from tests.enrichment.recording import Recording, running, wait_for, wav
from tests.speech.sounds import load, noise

DATA = Path(__file__).parent.parent / "data"
RATE_HZ = 16_000


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """A runtime whose engine is a very small Whisper."""
    models = tmp_path_factory.mktemp("models")
    (models / "whisper-tiny").symlink_to(DATA / "tiny-whisper")
    with running(tmp_path_factory.mktemp("engines"), engine="whisper:tiny", models_folder=models) as runtime:
        yield runtime


@pytest.fixture
def heard(runtime):
    """Half a minute of speech, transcribed by it."""
    recording = Recording.begin(runtime)
    speech = load(DATA / "jfk.flac")
    for index in range(3):
        different = speech + noise(len(speech) / RATE_HZ, level=10, seed=index)[: len(speech)]
        recording.send(index, wav(different[:, None], rate_hz=RATE_HZ))
    recording.end()
    assert recording.finish().status is JobState.COMPLETED
    assert len(recording.words()) >= 3
    return recording


def recognitions(runtime):
    """How many utterances are remembered."""
    with runtime.store.db.read() as c:
        return c.exec_driver_sql("SELECT count(*) FROM recognitions").scalar_one()


def test_a_cancelled_change_of_engine_gives_back_the_transcript(runtime, heard):
    words, remembered = heard.words(), recognitions(runtime)
    runtime.work.enqueue(heard.id, options={"engine": "pocketsphinx"})
    wait_for(lambda: recognitions(runtime) > remembered, heard.job)

    assert runtime.work.cancel(heard.job().id).status is JobState.CANCELLED

    [track] = heard.settle().tracks
    assert track.speech_engine == "whisper:tiny"
    assert heard.words() == words
    assert recognitions(runtime) <= remembered + 2  # the one that was under way
    runtime.work.enqueue(heard.id)
    assert heard.finish().status is JobState.COMPLETED
    assert heard.words() == words


def test_a_cancel_before_the_lock_changes_nothing(runtime, heard):
    before = heard.session()
    with runtime.saga._locks.hold(heard.id, "somebody", lambda: None):
        job = runtime.work.enqueue(heard.id, options={"engine": "pocketsphinx"})
        wait_for(lambda: heard.job().stage == "acquiring-lock", heard.job)
        runtime.work.cancel(job.id)
    assert heard.session().tracks == before.tracks
