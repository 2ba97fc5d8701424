"""Another language is set: what was heard stays as it is until somebody asks for it to be heard anew."""

import pytest

from longtake.model.errors import EngineError
from longtake.model.lifecycle import JobState
from tests.enrichment.recording import Recording, running, wait_for, wav
from tests.speech import multilingual
from tests.speech.sounds import DATA, load, noise

RATE_HZ = 16_000
SPEECH = load(DATA / "jfk.flac")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    multilingual.make(models / "whisper-many")
    return models


@pytest.fixture
def opened(tmp_path, models):
    """Opens a runtime that hears a language."""
    return lambda language: running(tmp_path, engine="auto", language=language, models_folder=models)


def segment(number):
    """The same speech each time, and not quite."""
    return wav((SPEECH + noise(len(SPEECH) / RATE_HZ, level=8, seed=number)[: len(SPEECH)])[:, None], rate_hz=RATE_HZ)


def recorded(runtime, *numbers):
    recording = Recording.begin(runtime)
    for index, number in enumerate(numbers):
        recording.send(index, segment(number))
    recording.end()
    assert recording.finish().status is JobState.COMPLETED
    return recording


def texts(recording, before_ms=10**9):
    return [text for _, start, _, text in recording.words() if start < before_ms]


def language(recording):
    [track] = recording.session().tracks
    return track.speech_language


def recognitions(runtime):
    with runtime.store.db.read() as c:
        return c.exec_driver_sql("SELECT count(*) FROM recognitions").scalar_one()


def test_what_was_heard_stays_and_what_is_new_is_heard_in_the_language_that_is_set(opened):
    with opened("de") as runtime:
        old = recorded(runtime, 1)
        words = old.words()
        assert language(old) == "de"
        german = texts(recorded(runtime, 1, 2))
    with opened("ru") as runtime:
        old.runtime = runtime
        assert old.words() == words
        old.send(1, segment(2))  # late: of one track everything is one language
        assert old.finish().status is JobState.COMPLETED
        assert (language(old), texts(old)) == ("de", german)

        new = recorded(runtime, 1, 2)
        assert language(new) == "ru"
        russian = texts(new)
        assert len(russian) >= 3
        assert russian != german

        runtime.work.enqueue(old.id)
        assert old.finish().status is JobState.COMPLETED
        assert (language(old), texts(old)) == ("de", german)
        remembered = recognitions(runtime)
        for engine in ("whisper:many", "auto"):
            runtime.work.enqueue(old.id, options={"engine": engine})
            assert old.finish().status is JobState.COMPLETED
            assert (language(old), texts(old)) == ("ru", russian)
        assert recognitions(runtime) == remembered  # the same sound was heard in it before
    with opened("auto") as runtime:
        old.runtime = runtime
        runtime.work.enqueue(old.id, options={"engine": "auto"})
        assert old.finish().status is JobState.COMPLETED
        assert language(old) is None
        assert texts(old) == texts(recorded(runtime, 1, 2))


def test_a_cancelled_change_of_language_gives_back_the_transcript(opened):
    with opened("de") as runtime:
        heard = recorded(runtime, *range(4))
        words = heard.words()
    with opened("ru") as runtime:
        heard.runtime = runtime
        remembered = recognitions(runtime)
        runtime.work.enqueue(heard.id, options={"engine": "auto"})
        wait_for(lambda: recognitions(runtime) > remembered, heard.job)
        assert runtime.work.cancel(heard.job().id).status is JobState.CANCELLED
        heard.settle()
        assert (language(heard), heard.words()) == ("de", words)


def test_an_engine_that_does_not_know_the_language_hears_nothing(opened):
    with opened("de") as runtime:
        heard = recorded(runtime, 1)
        words = heard.words()
        with pytest.raises(EngineError, match="pocketsphinx does not know the language de, only en"):
            runtime.work.enqueue(heard.id, options={"engine": "pocketsphinx"})
        assert heard.words() == words
    with pytest.raises(EngineError, match="no speech engine knows the language xx"), opened("xx"):
        pass
